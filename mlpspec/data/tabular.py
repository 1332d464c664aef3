"""Columns of numbers from CSV files: found by content, read with every cell checked, scaled."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import stat
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from mlpspec.arrays import Array
from mlpspec.errors import InputError, unknown

MOST_BYTES = 100_000_000
"""Of a file; the limit is one of patience and memory, not of principle."""

SCALINGS = ("columns", "common")


def content_hash(path: str) -> str:
    """Return 16 hexadecimal digits that stand for the bytes of a file.

    Raises
    ------
    ValueError
        It cannot be read, or is larger than `MOST_BYTES`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     content_hash(file.name)
    'e3b0c44298fc1c14'
    """
    return _hash(_content(path))


@lru_cache(maxsize=8)
def read_columns(path: str, content: str, names: tuple[str, ...]) -> Array:
    r"""Return the columns ``names`` of a CSV file, (M, len(names)), read-only.

    The first line names the columns; cells are separated by commas and may be quoted; blank lines
    do not count. The text is UTF-8, with or without a byte-order mark.

    Parameters
    ----------
    path : str
    content : str
        What `content_hash` was when the file was described.
    names : tuple of str

    Raises
    ------
    ValueError
        The file cannot be read, has another content, has fewer than two rows, lacks a column or
        has it twice, or a cell is not a finite number; the message says where.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("width,length,name\n1,2,a\n3,4,b\n")
    ...     file.flush()
    ...     read_columns(file.name, content_hash(file.name), ("length", "width")).tolist()
    [[2.0, 1.0], [4.0, 3.0]]
    """
    raw = _content(path)
    if _hash(raw) != content:
        raise InputError(
            f"{path} has changed since it was described (content {_hash(raw)}, described as "
            f"{content}); restore it, or start anew with --out in another directory"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.start + 1}); save it as CSV in UTF-8"
        ) from None
    rows = _rows(path, text, names)
    if len(rows) < 2:
        raise InputError(f"{path} has {len(rows)} rows of data; at least 2 are needed")
    table = np.array(rows)
    table.flags.writeable = False
    return table


def scaled(path: str, table: Array, names: Sequence[str], scaling: str) -> Array:
    """Return columns (M, C) centred on their means and divided so that all lie in [-1, 1].

    The divisor is each column's largest absolute deviation (``columns``), or the largest of all
    (``common``), which keeps the columns' aspect.

    Raises
    ------
    ValueError
        A column has one value only.

    Examples
    --------
    >>> table = np.array([[0.0, 10.0], [2.0, 50.0], [4.0, 30.0]])
    >>> scaled("leaves.csv", table, ("width", "length"), "columns").round(9).tolist()
    [[-1.0, -1.0], [0.0, 1.0], [1.0, 0.0]]
    >>> scaled("leaves.csv", table, ("width", "length"), "common").round(9).tolist()
    [[-0.1, -1.0], [0.0, 1.0], [0.1, 0.0]]
    """
    for name, column in zip(names, table.T, strict=True):
        if column.min() == column.max():
            raise InputError(
                f"{path}: column {name!r} is {column[0]:g} in every row and cannot be scaled; "
                "leave it out"
            )
    # Divided by the largest number first, so that sums and differences cannot overflow.
    largest = np.abs(table).max(axis=0)
    if scaling == "common":
        largest = largest.max()
    deviation = table / largest
    deviation -= deviation.mean(axis=0)
    reach = np.abs(deviation).max(axis=0 if scaling == "columns" else None)
    return np.asarray(deviation / reach)


def column_names(text: str) -> tuple[str, ...]:
    """Return the names in a list like ``width,length`` (a name with a comma is quoted).

    Raises
    ------
    ValueError
        An empty name, or one that occurs twice.

    Examples
    --------
    >>> column_names('width, "length, cm"')
    ('width', 'length, cm')
    """
    try:
        rows = csv.reader([text], strict=True, skipinitialspace=True)
        names = [name.strip() for row in rows for name in row]
    except csv.Error:
        names = [""]
    if "" in names or "\n" in text:
        raise InputError(f"columns is {text!r}; it must look like width,length")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"columns is {text!r}, which names {name} twice; name each once")
    return tuple(names)


def canonical_columns(names: str | Iterable[str]) -> str:
    """Return names, or a list of them as text, as the text that `column_names` reads; "" if none.

    Raises
    ------
    ValueError
        As `column_names`, or what is given is neither.

    Examples
    --------
    >>> canonical_columns(("width", "length, cm"))
    'width,"length, cm"'
    """
    if not isinstance(names, Iterable):
        raise InputError(f"columns is {names!r}; it must look like width,length")
    text = names if isinstance(names, str) else _joined(names)
    return _joined(column_names(text)) if text else ""


def _joined(names: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def _content(path: str) -> bytes:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not a file; give a CSV file")
        if status.st_size > MOST_BYTES:
            raise InputError(
                f"{path} has {status.st_size / 1e6:.0f} MB; files up to {MOST_BYTES / 1e6:.0f} MB "
                "are read: keep the columns and rows that are needed"
            )
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]


def _rows(path: str, text: str, names: tuple[str, ...]) -> list[list[float]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    lines = filter(None, reader)
    rows = []
    try:
        header = [cell.strip() for cell in next(lines, [])]
        if not header:
            raise InputError(f"{path} is empty; its first line must name the columns")
        columns = [_column(path, header, name) for name in names]
        for cells in lines:
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(header):
                raise InputError(
                    f"{where} has {len(cells)} cells; the first line names {len(header)} columns"
                )
            rows.append([_number(where, header[c], cells[c]) for c in columns])
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num} is not CSV: {error}") from None
    return rows


def _column(path: str, header: list[str], name: str) -> int:
    """Return where the column ``name`` stands."""
    if name not in header:
        for separator, word in ((";", "semicolons"), ("\t", "tabs")):
            if len(header) == 1 and separator in header[0]:
                raise InputError(f"{path} seems to be separated by {word}; save it with commas")
        raise unknown(f"column of {path}", name, header)
    if header.count(name) > 1:
        raise InputError(f"{path} has {header.count(name)} columns {name!r}; rename all but one")
    return header.index(name)


def _number(where: str, name: str, cell: str) -> float:
    try:
        number = float(cell)
        if math.isfinite(number) and "_" not in cell:
            return number
    except ValueError:
        pass
    shown = cell if len(cell) <= 30 else f"{cell[:30]}..."
    raise InputError(
        f"{where}, column {name!r} is {shown!r}; it must be a finite number: mend or drop the row"
    )
