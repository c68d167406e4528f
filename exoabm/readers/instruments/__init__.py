"""One module an instrument or program: a ``SOURCE`` each, named in ``readers.sources``."""
