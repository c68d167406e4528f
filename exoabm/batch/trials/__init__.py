"""Claims put to the test: arms in pairs, a verdict, a report."""
