"""What the study of compression compresses its networks to.

The question is: is a specialised network smaller? Networks of the eight subsets are pruned,
quantised and distilled to more and more; what reconstruction, usage and fit survive is measured at
every level (`mlpspec.analysis.compression` says when something survives).
"""

from __future__ import annotations

from mlpspec.compress import NONE
from mlpspec.losses import BUILT_IN
from mlpspec.study.readings import READING
from mlpspec.study.run import SETTINGS
from mlpspec.study.study import Study
from mlpspec.study.subsets import subsets

KEEPS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of the neurons that pruning leaves."""

WIDTHS = (0.8, 0.5, 0.3, 0.2, 0.1)
"""Shares of the neurons that students have."""

BITS = (8, 6, 5, 4, 3, 2)
"""Of a number."""

METHODS = {
    "prune_height(keep={})": KEEPS,
    "prune_fit(keep={})": KEEPS,
    "prune_random(keep={})": KEEPS,
    "prune_fit(keep={},refit=1)": KEEPS,
    "prune_random(keep={},refit=1)": KEEPS,
    "distil(keep={})": WIDTHS,
    "narrow(keep={})": WIDTHS,
    "quantise(bits={})": BITS,
}
"""What is done, at which levels; random pruning and the narrow network are nulls."""


def levels() -> tuple[str, ...]:
    """Return the values of the setting ``compress``, from none to the strongest of each method.

    Examples
    --------
    >>> levels()[:3], len(levels())
    (('none', 'prune_unused', 'prune_height(keep=0.9)'), 63)
    """
    told = [NONE, "prune_unused"]
    told += [text.format(level) for text, chosen in METHODS.items() for level in chosen]
    return tuple(map(SETTINGS["compress"].cast, told))


def compression() -> Study:
    """Return the eight subsets at four sizes, twenty seeds each, compressed in many ways.

    Examples
    --------
    >>> compression().axes["n_samples"], len(compression().axes["compress"])
    ((5, 10, 20, 50), 63)
    """
    return Study(
        "compression",
        {
            "losses": subsets(BUILT_IN),
            "n_samples": (5, 10, 20, 50),
            "compress": levels(),
            "seed": range(20),
        },
        READING,
        "Is a specialised network smaller?",
    )
