"""Therapy: doses, pharmacokinetics, immune response, manufacture."""
