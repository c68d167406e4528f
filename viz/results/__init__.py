"""Results of a run as data, drawings, curves and text."""
