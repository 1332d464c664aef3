"""Old names."""

from mlpspec.network.forward import Forward, backward, forward, respond
from mlpspec.network.neurons import NEURONS, PROTOTYPE_EPS, Params, RadialParams, RidgeParams

__all__ = ["NEURONS", "PROTOTYPE_EPS", "Forward", "Params", "RadialParams", "RidgeParams", "backward", "forward", "respond"]
