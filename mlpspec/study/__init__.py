"""Describing runs and studies: settings, keys, custom losses, and the problem of a run."""
