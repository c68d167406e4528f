"""Compiled loops on raw arrays. They import numpy and numba only and know nothing of biology."""
