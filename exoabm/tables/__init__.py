"""The tables of runs and batches: their declarations, schemas, files and readouts."""
