"""Finished runs, sweeps and trials in the formats of other programs.

``formats``       the table of formats: name, ending, what it holds, what opens it, which function writes it
``exported_run``  what a writer is given: the parts of a finished folder, read when they are asked for
``export``        finds the format, checks the folder, puts what was written in place
``figure_list``   the table of figures for publication, and which function draws each

Each other module writes one format, or what several of them share.
"""
