"""Results of a run on the page: its communication and curves as data, its files, and words."""
