"""Describing runs and studies: settings, keys, losses of one's own, and the problem of a run."""
