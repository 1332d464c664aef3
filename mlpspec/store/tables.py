"""Tables: columns of equal length, in memory and as CSV files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mlpspec.store.packed import content
from mlpspec.study.ends import starts_of
from mlpspec.study.run import SETTINGS

Table = dict[str, NDArray[Any]]


def measurement_names(table: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the columns of a table of runs that are measurements.

    Examples
    --------
    >>> measurement_names({"key": [], "seed": [], "status": [], "hull_distance": []})
    ['hull_distance']
    """
    return [name for name in table if name not in (*SETTINGS, "key", "variant", "status")]


def own_starts(table: Table) -> bool:
    """Return whether there is one start for each N and seed, where a table of runs has starts.

    Examples
    --------
    >>> table = {"n_samples": [5, 5], "seed": [0, 1], "start": ["run:@a", "run:@b"]}
    >>> own_starts({name: np.array(column) for name, column in table.items()})
    True
    """
    if "start" not in table:
        return False
    columns = (table[name].tolist() for name in ("n_samples", "seed", "start"))
    return bool(starts_of(zip(*columns, strict=True)))


def write_csv(path: Path, table: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Write columns of equal length; floats read back exactly, NaN is an empty field.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "table.csv"
    ...     write_csv(path, {"n": [3, 5], "error": [0.1, np.nan]})
    ...     path.read_text().split()
    ['n,error', '3,0.1', '5,']
    """
    columns = [np.asarray(values).tolist() for values in table.values()]
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in [table, *zip(*columns, strict=True)]:
            writer.writerow(map(_escaped, row))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        value = value.replace("\r", "\n")  # the writer would not quote it
        return f"'{value}" if value.startswith(_RISKY) else value
    return "" if value != value else value


_RISKY = ("=", "+", "-", "@", "\t", "'")


def read_csv(path: Path) -> Table:
    """Return what `write_csv` wrote: columns of whole numbers, of floats (exact) or of text.

    The file may be packed (`mlpspec.store.packed`).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "table.csv"
    ...     write_csv(path, {"n": [3, 5], "error": [0.1, 0.2]})
    ...     {name: column.tolist() for name, column in read_csv(path).items()}
    {'n': [3, 5], 'error': [0.1, 0.2]}
    """
    names, *rows = csv.reader(io.StringIO(content(path).decode(), newline=""))
    table: Table = {}
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        for convert in (int, float, _unescaped):
            with suppress(ValueError):
                table[_unescaped(name)] = np.array([convert(x or "nan") for x in column])
                break
    return table


def _unescaped(field: str) -> str:
    return field.removeprefix("'")


@contextmanager
def replacing(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """Open a new file that takes the place of ``path`` once it is complete, never before.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "note.txt"
    ...     with replacing(path) as file:
    ...         _ = file.write("all of it")
    ...         path.exists()
    ...     path.read_text()
    False
    'all of it'
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") if binary else draft.open("w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(draft, path)
    except OSError as error:
        if error.filename == str(draft):  # whose name tells nobody anything
            error.filename = str(path)
        raise
    finally:
        draft.unlink(missing_ok=True)
