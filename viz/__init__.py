"""The dashboard: a running model in the browser, its results, lessons and files.

``run_setup``, ``parameter_controls``, ``draft``, ``links_with_content`` and the package ``results`` work
without Solara and can be tested alone; ``server`` has the sessions and the server. ``components`` and
``teaching`` hold the Solara components, ``page_run`` the run that a page shows, and ``app`` composes
the page.

A component reads the model by ``with session.reading() as model``; it is not stepped meanwhile.
"""
