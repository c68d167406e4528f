"""Quantities derived from a run: edges, communication between types, and the communication graph."""
