"""At which temperatures does coverage merge, and separation expel, the prototypes?

Coverage alone and separation alone, thirteen temperatures from 1e-5 to 10. Look at
``distinct_usage_ratio`` of coverage, which falls once sqrt(tau) outgrows the spacing of the
inputs, and at ``outside_fraction`` and ``expelled_fraction`` of separation, whose reach grows
with tau. A temperature t is t / (2 / N)^2 in units of the mean spacing squared.

    mlpspec run experiments/tau_sweep.py
"""

import mlpspec

STUDY = mlpspec.studies.tau_sweep()
