"""Measuring finished networks: reconstruction, usage, hulls, nulls and paired statistics."""
