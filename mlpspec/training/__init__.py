"""Training: optimisers, the trainer, and which engine trains what."""
