"""One run: from a scenario to a run folder, its provenance and its cost."""
