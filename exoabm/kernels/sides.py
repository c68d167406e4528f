"""Codes of the six sides of a grid, in the order x low, x high, y low, y high, z low, z high."""

NO_FLUX, PERIODIC, FIXED = 0, 1, 2
