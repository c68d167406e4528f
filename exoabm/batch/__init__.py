"""Runs as jobs: one run into a folder, and what is built from many."""
