"""Is expulsion a matter of parametrisation?

The eight subsets with ridge and with radial neurons, which respond alike at the start. Look at
``contrast``: the expelled fraction, and the error. What changes when data and start are moved
together, for the one kind and for the other, is the study ``shift-test``.
"""

import mlpspec

STUDY = mlpspec.studies.neuron_kinds()
