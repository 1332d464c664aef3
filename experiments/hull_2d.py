"""Which ridges and prototypes leave the convex hull of inputs in the plane?

The eight subsets on inputs in two dimensions, where a neuron's ridge is a line and its prototype
the foot of the perpendicular from the origin. Look at the figure ``hull``: an expelled neuron's
line has left the data; a prototype outside the hull need not be expelled.

    mlpspec run experiments/hull_2d.py
"""

import mlpspec

STUDY = mlpspec.studies.hull_2d()
