"""In what two results directories differ: runs, settings, measurements, bits, verdicts.

A directory that was published without its store is compared by its tables, as far as they go.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis, read_verdicts
from mlpspec.analysis.claims import Verdict
from mlpspec.analysis.comparisons import select
from mlpspec.arrays import Array
from mlpspec.errors import InputError
from mlpspec.store.database import FILE_NAME, has_store
from mlpspec.store.merge import differing, made_with
from mlpspec.store.packed import exists
from mlpspec.store.results import Results
from mlpspec.store.store import Store, extensions_of
from mlpspec.store.tables import Table, measurement_names, read_csv
from mlpspec.study.run import SETTINGS

TABLE = "runs.csv"
NEEDED = ("key", "losses", "n_samples", "seed", "status")
"""Columns without which a table is none of runs."""


@dataclass(frozen=True, eq=False)
class Side:
    """One of two directories that are compared.

    Attributes
    ----------
    directory : Path
    table : Table
        As `Results.table`.
    sessions : list of dict
        Empty where they are not known.
    verdicts : list of Verdict
    results : Results, optional
        None without a store.
    """

    directory: Path
    table: Table
    sessions: list[dict[str, Any]]
    verdicts: list[Verdict]
    results: Results | None = None

    @property
    def study(self) -> str:
        """The study's name, or nothing where it is not known."""
        return str(self.sessions[-1]["study"]["name"]) if self.sessions else ""

    @property
    def losses(self) -> dict[str, str]:
        """What the losses of one's own are, by name."""
        return {name: str(loss) for name, loss in extensions_of(self.sessions).items()}


def read_side(directory: str | os.PathLike[str]) -> Side:
    """Return what a directory holds: its store, or without one the tables that were made of it.

    Raises
    ------
    InputError
        It has neither, or they are damaged.
    """
    place = Path(directory)
    if has_store(place):
        analysis = Analysis(place)
        results = analysis.results
        _ = results.study if results.sessions else None  # a session may be damaged
        return Side(place, results.table, results.sessions, analysis.verdicts, results)
    if not exists(place / TABLE):
        raise InputError(f"{str(place)!r} is no results directory: no {FILE_NAME} or {TABLE} in it")
    try:
        table = read_csv(place / TABLE)
        lacking = [name for name in NEEDED if name not in table]
        if lacking:
            raise ValueError(f"no column {lacking[0]}")
        for name in measurement_names(table):
            if table[name].dtype.kind not in "if":
                raise ValueError(f"the column {name} is not of numbers")
    except (ValueError, csv.Error) as error:
        raise InputError(f"{place / TABLE} is not a table of runs ({error}); remove it") from None
    claims, provenance = place / "claims.csv", place / "provenance.json"
    try:
        sessions = json.loads(provenance.read_text())["sessions"] if provenance.is_file() else []
        made_with(sessions)
        side = Side(place, table, sessions, read_verdicts(claims) if claims.is_file() else [])
        _ = side.study, side.losses
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise InputError(f"{provenance} is not what mlpspec wrote ({error}); remove it") from None
    return side


@dataclass(frozen=True)
class Apart:
    """How far apart two directories are in one measurement, over the runs that both have.

    Differences are absolute, and relative where the larger number is above 1. They are infinite
    where the measurement is undefined on one side alone.

    Examples
    --------
    >>> Apart("usage_ratio", largest=0.1, median=0.0, beyond=1).beyond
    1
    """

    name: str
    largest: float
    median: float
    beyond: int


@dataclass(frozen=True, eq=False)
class Difference:
    """In what two directories differ, from `difference`.

    Attributes
    ----------
    tolerance : float
        Of measurements.
    runs : dict of str to int
        How many are in ``both``, and only in ``first`` or ``second``.
    settings : dict of str to (str, str)
        Settings that differ, losses of one's own, and the study's name, as text.
    made_with : list of str
        Engines, versions and processors that differ.
    measurements : list of Apart
    unshared : list of str
        Measurements that one side alone has.
    worst : str
        Which run is furthest apart, and in what; empty where none is.
    status : list of str
        Keys of runs that ended otherwise.
    beyond : int
        Runs of both that ended otherwise, or of which a measurement is beyond the tolerance.
    bits : (int, int), optional
        Runs with equal bits of the final parameters, of how many; None without a store.
    data : int
        Runs with other data.
    flips : list of (Verdict, Verdict)
        Verdicts that differ, of claims that both sides could judge.
    judged : dict of str to int
        How many verdicts ``both`` have, and only the ``first`` or the ``second``.
    """

    tolerance: float
    runs: dict[str, int]
    settings: dict[str, tuple[str, str]]
    made_with: list[str]
    measurements: list[Apart]
    unshared: list[str]
    worst: str
    status: list[str]
    beyond: int
    bits: tuple[int, int] | None
    data: int
    flips: list[tuple[Verdict, Verdict]]
    judged: dict[str, int]

    @property
    def alike(self) -> bool:
        """Whether both have the same runs, with results within the tolerance, and the verdicts."""
        whole = self.runs["both"] > 0 and self.runs["first"] == self.runs["second"] == 0
        return whole and not (self.beyond or self.unshared or self.data or self.flips)


def difference(first: Side, second: Side, tolerance: float) -> Difference:
    """Return in what two directories differ.

    Parameters
    ----------
    first, second : Side
    tolerance : float
        For differences as `Apart` has them.

    Raises
    ------
    InputError
        The tolerance is negative or no number.
    """
    if not tolerance >= 0.0:
        raise InputError(f"the tolerance is {tolerance:g}; it must be at least 0")
    keys = [side.table["key"].tolist() for side in (first, second)]
    if first.results and second.results:  # by other keys of equal meaning, too
        keys[1] = first.results.keys_of(second.results.runs.values())
    place = {key: row for row, key in enumerate(keys[1])}
    both = [(row, place[key], key) for row, key in enumerate(keys[0]) if key in place]
    rows = [np.array([pair[side] for pair in both], dtype=int) for side in (0, 1)]
    tables = [select(side.table, of) for side, of in zip((first, second), rows, strict=True)]
    names = [[name for name in measurement_names(table) if name != "seconds"] for table in tables]
    shared = [name for name in names[0] if name in names[1]]
    d = np.array([_apart(*(table[name] for table in tables)) for name in shared])
    d = d.reshape(len(shared), len(both))
    otherwise = tables[0]["status"] != tables[1]["status"]
    worst = ""
    if d.size and d.max() > 0.0:
        which, row = np.unravel_index(np.argmax(d), d.shape)
        label, size, seed = (tables[0][name][row] for name in ("losses", "n_samples", "seed"))
        worst = f"{shared[which]} of {both[row][2]} ({label}, N = {size}, seed {seed})"
    bits, data = _compared(first, second, both)
    found = [{(v.claim, v.basis): v for v in side.verdicts} for side in (first, second)]
    told = [{at for at, v in by.items() if v.verdict != "untested"} for by in found]
    judged = [at for at in found[0] if at in told[0] & told[1]]
    flips = [(found[0][at], found[1][at]) for at in judged]
    return Difference(
        tolerance,
        _counts(len(both), *map(len, keys)),
        _settings(first, second),
        differing({name: made_with(side.sessions) for name, side in (("A", first), ("B", second))}),
        [
            Apart(name, float(row.max()), float(np.median(row)), int((row > tolerance).sum()))
            for name, row in zip(shared, d, strict=True)
            if len(both)
        ],
        [name for name in dict.fromkeys(names[0] + names[1]) if name not in shared],
        worst,
        [key for (*_, key), other in zip(both, otherwise, strict=True) if other],
        int((otherwise | (d > tolerance).any(axis=0)).sum()),
        bits,
        data,
        [pair for pair in flips if pair[0].verdict != pair[1].verdict],
        _counts(len(judged), *map(len, told)),
    )


def _counts(both: int, first: int, second: int) -> dict[str, int]:
    """Return how many there are in both of two collections, and how many in one alone."""
    return {"both": both, "first": first - both, "second": second - both}


def _apart(a: Array, b: Array) -> Array:
    """Return the differences of two arrays, number by number, as `Apart` says."""
    a, b = a.astype(float), b.astype(float)
    with np.errstate(invalid="ignore"):
        d = np.abs(a - b) / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(d), np.inf, d))


def _compared(
    first: Side, second: Side, both: Sequence[tuple[int, int, str]]
) -> tuple[tuple[int, int] | None, int]:
    """Return how many runs end in equal bits, of how many, and how many have other data."""
    if not first.results or not second.results:
        return None, 0
    found = []
    for side in (first, second):
        with Store.open(side.directory) as store:
            found.append(store.arrays())
    own = second.table["key"].tolist()
    pairs = [(found[0].get(key), found[1].get(own[row])) for _, row, key in both]
    whole = [(a, b) for a, b in pairs if a and b]
    equal = [[_same(x, y) for x, y in zip(a, b, strict=True)] for a, b in whole]
    return (
        (sum(params for params, _, _ in equal), len(equal)),
        sum(not (x and y) for _, x, y in equal),
    )


def _same(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _settings(first: Side, second: Side) -> dict[str, tuple[str, str]]:
    """Return the study's name, the settings and the losses of one's own that differ, as text."""
    sides = (first, second)
    found: dict[str, list[Any]] = {"study": [side.study for side in sides]}
    for name in SETTINGS:
        found[name] = [_values(side.table, name) for side in sides]
    for name in first.losses.keys() & second.losses.keys():
        found[f"loss {name}"] = [side.losses[name] for side in sides]
    return {name: (_listed(a), _listed(b)) for name, (a, b) in found.items() if a and b and a != b}


def _values(table: Table, name: str) -> list[Any]:
    """Return the different values of a setting in a table of runs, in ascending order."""
    if name == "n_hidden" and name in table:
        pairs = zip(table[name].tolist(), table["n_samples"].tolist(), strict=True)
        values = ["N" if k == n else k for k, n in pairs]
    elif name == "separation_temperature" and name not in table:
        values = table["temperature"].tolist() if "temperature" in table else []
    else:
        values = table[name].tolist() if name in table else [SETTINGS[name].default]
    # A table that was read has "nan" for text that is empty.
    plain = {"" if value == "nan" else value for value in values}
    return sorted(plain, key=lambda value: (str(type(value)), value))


def _listed(values: Any, most: int = 8) -> str:
    if not isinstance(values, list):
        return str(values)
    if len(values) > most:
        return f"{len(values)} values, {values[0]} to {values[-1]}"
    return ", ".join(map(str, values))
