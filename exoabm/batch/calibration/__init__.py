"""Sensitivity of a result to the parameters, their fit to measurements, and convergence in step and voxel."""
