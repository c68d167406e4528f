"""The dashboard: a Solara page on one live model."""
