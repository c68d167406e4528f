"""Tables of cells and of vesicle sizes as instruments and programs write them.

``instruments``   the table of instruments and programs that are recognized
``table``         named columns of one length, whatever the file format
``cells``         ``read_cells``: from a path and options to positions, labels and ids

Ambiguities are not guessed: they are reported with the options that settle them. The package does not depend
on models.
"""
