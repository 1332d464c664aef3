"""Does a structural loss make hidden neurons specialise on the training inputs?

The 480-run grid: every subset of coverage, separation and overlap, six sizes of data set, ten
paired seeds. Look at ``reconstruction_error`` and ``usage_ratio`` in ``summary.csv``, subset by
subset; at ``nearest_error`` and ``distinct_usage_ratio`` before believing them; and at
``outside_fraction`` and ``expelled_fraction`` for what repulsion does instead.

    mlpspec run experiments/paper.py
"""

import mlpspec

STUDY = mlpspec.studies.paper()
