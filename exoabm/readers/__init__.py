"""Tables of cells, of vesicle sizes and of measurements, as instruments and programs write them.

``table_sources``  the instruments and programs whose tables are recognized
``file_formats``   the file formats of tables, by their first bytes
``table``          named columns of one length, whatever the file format
``cell_table``     ``read_cells``: from a path and options to positions, labels and ids
``time_series``    numeric columns of a table, such as measurements over time

Ambiguities are not guessed: they are reported with the options that settle them. The package does not depend
on models.
"""
