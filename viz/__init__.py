"""The living page: a running model in the browser, and what surrounds it.

Free of Solara, each testable alone:

============  =================================================================================
``session``   one run in a browser: model, worker thread, play and pause, speed, errors
``twins``     two of them on the same random numbers, kept in step
``frames``    one binary blob a frame, and the recorded frames to scrub through
``setup``     what a run is made of; ``openings`` how each scenario meets its reader
``looks``     colors and shapes of the cell types, the same in every picture of a run
``knobs``     the controls of a scenario, made from the declarations of its parameters
``story``     a run in a sentence, a clicked cell, curves over time
``exchange``  who sent what to whom; ``panels`` draws it, by ``svg``
``lessons``   predict, run, explain, and the truth from the reader's own run
``share``     links; ``takeaway`` and ``gif`` make files, ``uploads`` reads what is brought
``airlock``   a stranger's file is read first where it can do no harm
``limits``    the caps of a page: grid, cells, hours, sessions
``serve``     the server: loopback, host and origin checks, no telemetry
============  =================================================================================

Solara components, each given a ``Session`` and a ``pulse`` that rises twice a second while it runs:
``app`` (the page; composition only), ``canvas``, ``controls``, ``card`` (a cell's story), ``talk``
(communication), ``compare``, ``reading``, ``guide`` (lessons), ``carry`` (take away and bring). ``widgets``
are drawn by the Vue files beside it.

A component that reads ``session.model`` holds ``session.lock``. Only the session's worker steps it.
"""
