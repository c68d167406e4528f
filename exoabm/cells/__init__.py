"""What cells do: secrete vesicles, take them up, handle their waste."""
