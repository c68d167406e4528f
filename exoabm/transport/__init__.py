"""How vesicles cross the space between cells: engines behind one small interface."""
