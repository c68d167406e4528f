"""Many runs: sweeps, trials, and calibration."""
