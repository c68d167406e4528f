"""Scenario files: schema, reading, validation, estimates, and construction of a model's state."""
