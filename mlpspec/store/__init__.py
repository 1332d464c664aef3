"""Keeping results: the store, its recovery, and reading it."""
