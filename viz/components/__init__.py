"""Solara components of the page and the widgets that the browser draws."""
