"""Tests of claims: paired arms, a verdict and a report."""
