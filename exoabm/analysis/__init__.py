"""Quantities derived from a run: edges, the communication graph, pairs of types, dose and response."""
