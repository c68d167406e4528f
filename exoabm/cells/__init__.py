"""Cells: secretion, uptake, cargo and waste, responses, turnover and motility."""
