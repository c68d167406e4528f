"""Tables of cells as instruments and programs write them: what each column means, and what has to be asked.

``sources``   the table of instruments, one small module each in ``readers/instruments``
``sheet``     named columns of one length, whatever file they stand in
``cells``     ``read_cells``: from a path and what the user said to positions, labels and ids

Nothing in here knows of models: the room reads, checks, and says what it recognized.
"""
