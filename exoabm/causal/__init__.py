"""Causal effects: what a cell, type, edge or vesicle kind changes, by runs that differ in it alone."""
