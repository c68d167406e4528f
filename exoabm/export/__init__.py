"""ExportedRun runs, sweeps and trials in the formats of other programs.

``formats``   the table of formats: name, ending, what it holds, what opens it, which function writes it
``finished``  what a writer is given: the parts of a finished folder, read when they are asked for
``export``    finds the format, checks the folder, and puts what was written in place whole

All others are one small module a format.
"""
