"""Accounts of vesicles, waste and contacts, and the checks that they balance."""
