"""The living page: a running model in the browser, and what surrounds it.

Free of Solara, each testable alone:

=============  ============================================================================
``session``    one run in a browser: model, worker thread, play and pause, speed, errors
``frames``     one binary blob a frame, and the recorded frames to scrub through
``knobs``      the controls of a scenario, made from the declarations of its parameters
``inspect``    a clicked cell: who reached it, whom it reached, its state
``limits``     the caps of a page: grid, cells, memory, sessions
``panels``     communication: network, type x type, chord, strength by distance
``takeaway``   share links, and files to take away
``uploads``    a table of cells, a finished run folder: checked, capped, never trusted
``serve``      the server: loopback, host and origin checks, no telemetry
=============  ============================================================================

Solara components, each given a ``Session`` and a ``pulse`` that rises twice a second while it runs:
``app`` (the page; composition only), ``canvas`` (drawing), ``player`` (go, pause, step, scrub),
``controls``, ``compare``, ``pages`` (a scenario's page beside it), ``lessons`` (predict, run, explain).

A component that reads ``session.model`` holds ``session.lock``. Only the session's worker steps it.
"""
