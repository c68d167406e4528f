"""Guided lessons and the pages of scenarios."""
