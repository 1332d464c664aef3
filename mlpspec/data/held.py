"""What lies in no file and is held in memory, by its content: tables given as arrays, and networks.

Descriptions name the content: ``file:arrays@DIGEST`` a table, ``run:KEY@NEURON:DIGEST`` a network,
the end of the run KEY. Whoever has what they stand for holds it here, for all that then reads such
a description, and results directories keep it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from mlpspec.arrays import Array, real_numbers
from mlpspec.errors import InputError

ARRAYS = "arrays"
"""The path of tables that are no files."""

TARGET = "y"
"""Name of the column of the targets; the inputs are x1, x2, ..."""

RUN = "run:"
"""How the description of the end of a run begins."""

DESCRIBED = ("dataset", "start", "target")
"""Settings whose values may be such descriptions, or those of files."""

HELD: dict[str, tuple[Array, Array]] = {}
"""By content, as a results directory keeps it: of a table inputs (M, D) and targets (M,), NaN if
there are none; of a network its parameters (1, P), and D (1,)."""

_FORM = re.compile(rf"file:{ARRAYS}@([0-9a-f]{{16}})|{RUN}\w*@(.+:[0-9a-f]{{16}})")


def content_of(text: Any) -> str | None:
    """Return the content that a description of a table or network names; None of any other text.

    Examples
    --------
    >>> content_of("file:arrays@0123456789abcdef"), content_of("grid")
    ('0123456789abcdef', None)
    >>> content_of("run:dc7bb7477c92cb54@radial:0123456789abcdef")
    'radial:0123456789abcdef'
    """
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else found[1] or found[2]


def contents_of(texts: Iterable[Any]) -> set[str]:
    """Return the contents that texts name, as far as they do.

    Examples
    --------
    >>> contents_of(["file:arrays@0123456789abcdef", "grid"])
    {'0123456789abcdef'}
    """
    return {content for text in texts if (content := content_of(text)) is not None}


def without_place(text: str) -> str:
    """Return what a description stands for: of a file, table or network the content alone.

    Examples
    --------
    >>> without_place("file:wheat.csv@0123456789abcdef"), without_place("grid")
    ('file:@0123456789abcdef', 'grid')
    >>> without_place("run:dc7bb7477c92cb54@radial:0123456789abcdef")
    'run:@radial:0123456789abcdef'
    """
    begin, _, rest = text.partition(":")
    return f"{begin}:@{rest.rpartition('@')[2]}" if begin in ("file", "run") else text


def hold_content(content: str, first: Array, second: Array) -> None:
    """Hold two arrays, read-only from here on, as `HELD` says.

    Examples
    --------
    >>> hold_content("0123456789abcdef", np.array([[0.5]]), np.array([np.nan]))
    >>> HELD.pop("0123456789abcdef")[0]
    array([[0.5]])
    """
    for array in (first, second):
        array.flags.writeable = False
    HELD[content] = first, second


def hold_table(x: Any, y: Any = None) -> tuple[str, tuple[str, ...]]:
    """Hold inputs x (M, D), and targets y (M,) if there are any; return description and columns.

    Raises
    ------
    ValueError
        Arrays of other shapes, or that are not of finite real numbers.

    Examples
    --------
    >>> hold_table([[0.5, 1.0], [0.25, 3.0]], [1, 2])
    ('file:arrays@3e147ad202f6993e', ('x1', 'x2'))
    """
    x = _numbers("x", x)
    if x.ndim != 2 or 0 in x.shape:
        mend = "; give x[:, None]" if x.ndim == 1 else ""
        raise InputError(f"x has shape {x.shape}; expected (N, D){mend}")
    if y is None:
        y = np.full(len(x), np.nan)
    else:
        y = _numbers("y", y)
        if y.shape != x.shape[:1]:
            raise InputError(f"y has shape {y.shape}; expected {x.shape[:1]}, a number a row of x")
    content = hash_of(_as_csv(x, y))
    hold_content(content, x, y)
    return f"file:{ARRAYS}@{content}", _names(x)


def table_of(content: str) -> bytes:
    """Return a table that is held as the CSV file that its content is the hash of.

    Examples
    --------
    >>> _ = hold_table([[0.5, 1.0], [0.25, 3.0]], [1, 2])
    >>> table_of("3e147ad202f6993e").decode().split()
    ['x1,x2,y', '0.5,1.0,1.0', '0.25,3.0,2.0']
    """
    return _as_csv(*HELD[content])


def hash_of(raw: bytes) -> str:
    """Return 16 hexadecimal digits that stand for bytes.

    Examples
    --------
    >>> hash_of(b"")
    'e3b0c44298fc1c14'
    """
    return hashlib.sha256(raw).hexdigest()[:16]


def _names(x: Array) -> tuple[str, ...]:
    return tuple(f"x{d + 1}" for d in range(x.shape[1]))


def _as_csv(x: Array, y: Array) -> bytes:
    head, columns = [*_names(x)], [*x.T]
    if not np.isnan(y).any():
        head, columns = [*head, TARGET], [*columns, y]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return "\n".join([",".join(head), *(",".join(map(repr, row)) for row in rows), ""]).encode()


def _numbers(name: str, value: Any) -> Array:
    array = real_numbers(name, value, kinds="fiu")
    if not np.isfinite(array).all():
        raise InputError(f"{name} has NaN or infinite entries; leave out these rows")
    return array.astype(float)
