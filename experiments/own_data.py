"""Do prototypes find inputs that lie on a curve, where most of the domain is empty?

Data of one's own: inputs drawn from ``spiral.csv`` beside this file, 120 points of a spiral of one
and a half turns, with the way along it as the target:

    way = (i + 1/2) / 120,  x = way cos(3 pi way),  y = way sin(3 pi way),  i = 0, ..., 119

(six decimals). One divisor for both inputs keeps the spiral's aspect. Look at ``nearest_error``
beside the nulls, which know the square but not the curve, and at the figure ``hull``.

    mlpspec run experiments/own_data.py
"""

from pathlib import Path

import mlpspec

STUDY = mlpspec.Study(
    "own-data",
    {
        "losses": ("baseline", "coverage", "separation", "overlap"),
        "n_samples": (12, 30),
        "seed": range(10),
    },
    {
        "dataset": f"file:{Path(__file__).with_name('spiral.csv')}",
        "columns": "x,y",
        "scaling": "common",
        "target": "column:way",
    },
    question="Do prototypes find inputs that lie on a curve?",
)
