"""What is seen of a run: the communication graph, metrics, tables, the run folder.

Nothing here changes a state.
"""
