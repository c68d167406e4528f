"""Scenario files: what they may say, how they are read, and how a model is built from one."""
