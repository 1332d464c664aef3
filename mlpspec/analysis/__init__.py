"""Judging results: comparisons, claims and verdicts."""
