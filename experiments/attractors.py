"""Which attractor rescues which repulsion?

Each repulsive loss with each attractor and with none, all with the same force at the start. Look
at ``attraction``: what is left of the harm that a repulsion does alone.
"""

import mlpspec

STUDY = mlpspec.studies.attractors()
