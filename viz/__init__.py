"""The dashboard: a running model in the browser, its results, lessons and files.

Modules without Solara, each testable alone: ``setup``, ``parameter_controls``, ``scenario_intros``,
``permalinks``, and the rooms ``server`` and ``results``. ``components`` and ``teaching`` hold the Solara
components, and ``app`` composes the page.

A component reads the model by ``with session.reading() as model``; it is not stepped meanwhile.
"""
