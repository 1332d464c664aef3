from mlpspec.network.forward import Forward, backward, forward, respond
from mlpspec.network.neurons import NEURONS, PROTOTYPE_EPS, Params, RadialParams, RidgeParams
