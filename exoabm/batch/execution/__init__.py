"""Execution of a batch: its rows, their files, the workers that compute them, and what is left to do."""
