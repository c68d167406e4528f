"""Output of a run: observers, their clocks, and the run folder that they write."""
