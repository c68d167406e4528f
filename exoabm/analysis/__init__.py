"""Quantities derived from a run: edges, communication between types, the communication graph, outcomes."""
