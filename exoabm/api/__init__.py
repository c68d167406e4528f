"""What ``import exoabm as xo`` offers: scenarios, runs, batches and analyses, as functions with results.

The command line calls the same functions.
"""
