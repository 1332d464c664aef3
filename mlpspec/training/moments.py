"""At which steps of training something is recorded."""

from __future__ import annotations

import itertools

from mlpspec.errors import unknown

RECORDS = ("every", "log")
"""Ways to space the moments at which is recorded: equally, or equally in the logarithm."""

A_DECADE = 14
"""Moments from one power of ten to the next; 3,000 steps have 45 of them in all."""


def moments(steps: int, record_every: int, record: str = "every") -> list[int]:
    """Return the steps at which a training of so many steps records, none or from 0 to the last.

    Parameters
    ----------
    steps : int
    record_every : int
        Steps between two records. If it is 0, ``record`` decides.
    record : {"every", "log"}
        ``"every"``: none. ``"log"``: 10^(i/14) steps, rounded, for every i; the moments of a
        shorter training are those of a longer one, but for its last.

    Raises
    ------
    ValueError
        Another ``record``.

    Examples
    --------
    >>> moments(20, 8), moments(20, 0)
    ([0, 8, 16, 20], [])
    >>> moments(20, 0, "log")
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 19, 20]
    """
    if record not in RECORDS:
        raise unknown("record", record, RECORDS)
    if record_every:
        return sorted({*range(0, steps + 1, record_every), steps})
    if record == "every":
        return []
    spaced = (round(10 ** (i / A_DECADE)) for i in itertools.count())
    return sorted({0, steps, *itertools.takewhile(lambda moment: moment < steps, spaced)})
