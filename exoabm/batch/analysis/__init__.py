"""What carries a result, and which numbers fit what was measured."""
