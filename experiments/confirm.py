"""Do the grid's findings hold on fresh seeds, and after longer training?

The grid on a hundred seeds that it has not seen, after 3,000 and after 10,000 steps: a finding
that is gone at 10,000 was a transient of training. About an hour on two cores.

    mlpspec run experiments/confirm.py
"""

import mlpspec

STUDY = mlpspec.studies.confirm()
