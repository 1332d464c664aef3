"""The network of the paper: neurons, forward pass, chain rule and starts, in plain NumPy."""
