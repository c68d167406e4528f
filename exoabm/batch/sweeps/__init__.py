"""Sweeps: designs of points and replicates, their summary and plots."""
