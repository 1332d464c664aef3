"""Tables that are given as arrays: held in memory as CSV, and from there on as files are."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpspec.arrays import Array, real_numbers
from mlpspec.data.tabular import ARRAYS, HELD, hash_of
from mlpspec.errors import InputError

TARGET = "y"
"""Name of the column of the targets; the inputs are x1, x2, ..."""


def hold(x: Any, y: Any = None) -> tuple[str, tuple[str, ...]]:
    """Hold inputs x (M, D), and targets y (M,) if there are any; return the content's hash.

    And the names of the inputs' columns.

    Raises
    ------
    ValueError
        Arrays of other shapes, or that are not of finite real numbers.

    Examples
    --------
    >>> content, names = hold([[0.5, 1.0], [0.25, 3.0]], [1, 2])
    >>> names, HELD[content].decode().split()
    (('x1', 'x2'), ['x1,x2,y', '0.5,1.0,1.0', '0.25,3.0,2.0'])
    """
    x = _numbers("x", x)
    if x.ndim != 2 or 0 in x.shape:
        mend = "; give x[:, None]" if x.ndim == 1 else ""
        raise InputError(f"x has shape {x.shape}; expected (N, D){mend}")
    names = tuple(f"x{d + 1}" for d in range(x.shape[1]))
    head, columns = [*names], [*x.T]
    if y is not None:
        y = _numbers("y", y)
        if y.shape != x.shape[:1]:
            raise InputError(f"y has shape {y.shape}; expected {x.shape[:1]}, a number a row of x")
        head, columns = [*head, TARGET], [*columns, y]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    text = "\n".join([",".join(head), *(",".join(map(repr, row)) for row in rows), ""]).encode()
    content = hash_of(text)
    HELD[content] = text
    return content, names


def arrays_of(content: str) -> tuple[Array, Array]:
    """Return what `hold` was given, inputs (M, D) and targets (M,), NaN if there were none.

    Examples
    --------
    >>> content, _ = hold([[0.5], [0.25]])
    >>> [array.tolist() for array in arrays_of(content)]
    [[[0.5], [0.25]], [nan, nan]]
    """
    head, *rows = HELD[content].decode().split()
    table = np.array([[float(cell) for cell in row.split(",")] for row in rows])
    if head.endswith(f",{TARGET}"):
        return table[:, :-1], table[:, -1]
    return table, np.full(len(table), np.nan)


def held_in(dataset: str) -> str | None:
    """Return the content's hash of a description of arrays; None of any other data set.

    Examples
    --------
    >>> held_in("file:arrays@0123456789abcdef"), held_in("grid")
    ('0123456789abcdef', None)
    """
    start, _, content = dataset.partition("@")
    return content if start == f"file:{ARRAYS}" and content else None


def _numbers(name: str, value: Any) -> Array:
    array = real_numbers(name, value, kinds="fiu")
    if not np.isfinite(array).all():
        raise InputError(f"{name} has NaN or infinite entries; leave out these rows")
    return array.astype(float)
