"""Transport: engines that move and capture vesicles, the coupling of cells to the grid, transfer matrices."""
