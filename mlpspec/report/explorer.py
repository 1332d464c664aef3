"""The explorer: one page on which single runs are looked at, compared and shown to others.

``explore.html`` holds everything that it shows: the measurements of the runs, their final
parameters and data in full, and where a run was recorded while it trained, its prototypes at those
moments, rounded, and the terms of its objective. It needs no network and no other file. Numbers are
text in JSON, arrays are their bytes in base 64, one array a type, run after run.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpspec import __version__
from mlpspec.arrays import Array
from mlpspec.compress import NONE
from mlpspec.data.spec import parse_call
from mlpspec.metrics.hull import expelled
from mlpspec.metrics.measure import MEASUREMENTS
from mlpspec.metrics.prototypes import match
from mlpspec.metrics.statistics import beyond_rounding
from mlpspec.network.forward import forward
from mlpspec.network.neurons import neuron_of
from mlpspec.store.results import Results, Table, measurement_names, replacing
from mlpspec.store.store import Record
from mlpspec.study.run import SETTINGS, Run

MOST_BYTES = 3_600_000
"""Of what is told of runs: with the page itself fewer than 4 MB. The paper grid takes 2.9."""

MOMENTS, TERMS = 46, 4
"""Of a recorded run, about: what its size is estimated from before it is read."""

NEAR = 20
"""The N of the pair of runs that is shown first is the one nearest to this."""

REPELLING: tuple[str, ...] = ("separation", "overlap")
HOLDING: tuple[str, ...] = ("coverage", "baseline")
"""Losses, alone, of which one of the first is shown first, beside the first of the second."""

STEPS = 32766
"""Of a rounded coordinate to each side of the middle; -32767 - 1 is what is not finite."""


def write(results: Results) -> Path:
    """Write ``explore.html`` into the directory of results; return its path."""
    path = results.directory / "explore.html"
    with replacing(path) as file:
        file.write(page(results))
    return path


def page(results: Results) -> str:
    """Return the explorer of a results directory, a whole page in HTML.

    Examples
    --------
    >>> import tempfile
    >>> from mlpspec import run_study, studies
    >>> study = studies.paper().replace(n_samples=(3,), seed=(0,), steps=10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = page(run_study(study, folder, n_jobs=1))
    >>> "What this page does not show" in found
    True
    """
    room = files("mlpspec.report")
    html, *scripts = (room.joinpath(name).read_text(encoding="utf-8") for name in PARTS)
    # In a script, "<" of a name must not end it.
    data = json.dumps(content(results), separators=(",", ":")).replace("<", "\\u003c")
    filled = {"title": escape(results.study.name), "script": "".join(scripts), "data": data}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], html)


PARTS = (
    "explore.html",
    "explore_data.js",
    "explore_draw.js",
    "explore_line.js",
    "explore_plane.js",
    "explore_charts.js",
    "explore_state.js",
    "explore.js",
    "explore_page.js",
)
"""The page, and the scripts in the order in which they stand in it."""


def content(results: Results) -> dict[str, Any]:
    """Return what the page shows, as JSON can hold it.

    Runs that failed have nothing to show. Of others as many are taken, whole networks before
    compressed ones and each in the order of their seeds, as `MOST_BYTES` allow.
    """
    from mlpspec.report.figures.base import readable, styles

    table = results.table
    chosen = _chosen(results)
    labels = [table["losses"][row] for row in chosen]
    keys = [str(table["key"][row]) for row in chosen]
    names = measurement_names(table)
    told: dict[str, Any] = {
        "study": results.study.name,
        "question": results.study.question,
        "version": __version__,
        "runs": len(results.runs),
        "failed": list(results.status.values()).count("failed"),
        "looks": {label: [look[0], readable(label)] for label, look in styles(labels).items()},
        "fields": _varying(table, chosen),
        "measurements": {name: _described(name) for name in names},
        "columns": {
            name: [_plain(table[name][row]) for row in chosen]
            for name in ("key", "losses", "status", "seed", *_varying(table, chosen), *names)
        },
        "first": _first(table, chosen),
    }
    arrays = _Arrays()
    for record in results.records(keys):
        arrays.add(record)
    return told | arrays.content()


def _chosen(results: Results) -> NDArray[np.intp]:
    """Return the rows of the table whose runs are shown, in the table's order."""
    table, runs = results.table, results.runs
    rows = np.flatnonzero(table["status"] != "failed")
    rows = rows[np.lexsort((table["seed"][rows], _compressed(table, rows)))]
    n_numbers = len(measurement_names(table)) + len(SETTINGS) / 4
    sizes = np.array([_size(runs[key], results.has_curve(key)) for key in table["key"][rows]])
    fits = np.cumsum(sizes + 9 * n_numbers) <= MOST_BYTES
    return np.sort(rows[fits])


def _compressed(table: Table, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which rows are of compressed networks."""
    return table["compress"][rows] != NONE if "compress" in table else np.zeros(len(rows), bool)


def _size(run: Run, recorded: bool) -> float:
    """Return about how many characters the arrays of a run take."""
    n, k, d = run.n_samples, run.hidden_units, run.n_inputs
    size = 8 * (k * (d + 2) + 1) + 2 * (2 * n + k)
    return 4 / 3 * (size + recorded * MOMENTS * (2 * k * d + 4 * TERMS))


def _varying(table: Table, rows: NDArray[np.intp]) -> list[str]:
    """Return the columns, but for losses and seed, that tell shown runs apart; N is always there.

    Other settings that a run needs to be drawn are with its arrays.
    """
    names = [n for n in table if n == "variant" or (n in SETTINGS and SETTINGS[n].changes_result)]
    others = [n for n in names if n not in ("losses", "seed", "n_samples")]
    varied = [n for n in others if len({*table[n][rows].tolist()}) > 1]
    same = table["n_hidden"][rows].tolist() == table["n_samples"][rows].tolist()
    return ["n_samples", *(n for n in varied if n != "n_hidden" or not same)]


def _described(name: str) -> list[Any]:
    """Return label, unit and floor of a measurement."""
    known = MEASUREMENTS.get(name)
    if known is None:
        return [name.replace("_", " "), "s" if name == "seconds" else "", None]
    return [known.axis.partition("\n(")[0].replace("\n", " "), known.unit, known.floor]


def _plain(value: Any) -> Any:
    """Return a cell of the table as JSON can hold it: six digits, None for NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


# ------------------------------------------------------------------------- what is shown first


def _first(table: Table, rows: NDArray[np.intp]) -> dict[str, Any]:
    """Return the keys of two runs to begin with, and the rule by which they were chosen.

    Separation or overlap alone (else any losses) beside coverage alone (else the baseline, else any
    other losses) on the same problem, at the N nearest to `NEAR`: the subset and the settings whose
    expelled fraction exceeds the other's the most in the median over seeds, and the seed whose
    difference is nearest to that median. Of equals the first. Both are whole networks, not
    compressed ones, if some are shown.
    """
    if not len(rows):
        return {}
    fields, compressed = _varying(table, rows), _compressed(table, rows)
    rows = rows if compressed.all() else rows[~compressed]
    sizes = np.unique(table["n_samples"][rows])
    size = sizes[np.abs(sizes - NEAR).argmin()]
    cells: dict[Any, dict[str, dict[int, int]]] = {}  # rows by seed, by losses, by settings
    for row in rows[table["n_samples"][rows] == size].tolist():
        runs = cells.setdefault(tuple(table[name][row] for name in fields), {})
        runs.setdefault(str(table["losses"][row]), {})[int(table["seed"][row])] = row
    contrasts = [c for runs in cells.values() for c in _contrasts(table["expelled_fraction"], runs)]
    if not contrasts:
        return {"a": str(table["key"][rows[0]])}
    median, a, b, n_seeds = max(contrasts, key=lambda contrast: contrast[0])
    among = [name for name in REPELLING if name in table["losses"][rows]]
    alone = f"of {' and '.join(among)} alone, " if len(among) == 2 else ""
    also = "".join(f", {name} = {_plain(table[name][a])}" for name in fields[1:])
    rule = (
        f"An example, chosen by a rule: at N = {size}{also}, {alone}the one that expels more of "
        f"its neurons than {table['losses'][b]} does by the most ({median:.2g} in the median of "
        f"{n_seeds} seeds), and the seed nearest to that median."
    )
    return {"a": str(table["key"][a]), "b": str(table["key"][b]), "rule": rule}


def _contrasts(
    expelled_fraction: Array, runs: dict[str, dict[int, int]]
) -> Iterator[tuple[float, int, int, int]]:
    """Iterate over pairs of losses: the median difference, the rows nearest to it, how many seeds.

    ``runs`` are rows by seed, by losses.
    """
    first = [name for name in REPELLING if name in runs] or list(runs)
    second = [name for name in HOLDING if name in runs][:1] or list(runs)
    for one, other in itertools.product(first, second):
        seeds = [seed for seed in runs[one] if seed in runs[other]] if one != other else []
        pairs = [(runs[one][seed], runs[other][seed]) for seed in seeds]
        gaps = [expelled_fraction[a] - expelled_fraction[b] for a, b in pairs]
        known = np.flatnonzero(np.isfinite(gaps))
        if len(known):
            median = float(np.median(np.array(gaps)[known]))
            nearest = known[np.abs(np.array(gaps)[known] - median).argmin()]
            yield median, *pairs[nearest], len(known)


# ------------------------------------------------------------------------- arrays


class _Arrays:
    """The arrays of runs, one after the other, and what is needed to find them again."""

    def __init__(self) -> None:
        self.runs: list[list[Any]] = []
        """A run: neuron, K, its data, its moments and its terms, as places in the lists below;
        -1 where it was not recorded."""
        self.data: list[dict[str, Any]] = []
        self.moments: list[list[int]] = []
        self.terms: list[list[str]] = []
        self.known: dict[bytes, int] = {}
        self.exact: list[Array] = []
        self.single: list[Array] = []
        self.rounded: list[NDArray[np.int16]] = []
        self.whole: list[NDArray[Any]] = []

    @np.errstate(all="ignore")  # a diverged run may be anywhere among the finite numbers
    def add(self, record: Record) -> None:
        """Add a run that did not fail."""
        run = record.run
        assert record.x is not None
        assert record.y is not None
        assert record.params is not None
        x, y, flat = (np.asarray(a, dtype=float) for a in (record.x, record.y, record.params))
        kind = neuron_of(run.neuron)
        params = kind.unflatten(flat[None], run.n_inputs)
        at = self.known.setdefault(x.tobytes() + y.tobytes(), len(self.data))
        if at == len(self.data):
            middle, reach = frame(x)
            told = {"n": len(x), "d": x.shape[1], "middle": middle.tolist(), "reach": reach}
            self.data.append({**told, "x": x.ravel().tolist(), "y": y.tolist()})
        self.exact.append(flat)
        pairs = match(x[None], np.nan_to_num(params.prototypes))  # a vanished ridge has none
        left = expelled(forward(params, x[None], y[None]))
        self.whole += [pairs[0][0], pairs[1][0], left[0]]
        moments = terms = -1
        n_hidden = params.shape[1]
        if record.curve is not None and n_hidden == run.hidden_units:  # it is of the trained one
            curve = dict(record.curve)
            moments = _place(self.moments, curve.pop("steps").tolist())
            then = kind.unflatten(curve.pop("params"), run.n_inputs).prototypes
            terms = _place(self.terms, list(curve))
            middle, reach = frame(x)
            self.rounded.append(rounded(then, middle, reach).ravel())
            self.single += [np.asarray(values) for values in curve.values()]
        name = parse_call(run.neuron).name
        self.runs.append([name, n_hidden, at, moments, terms, kind.EPSILON])

    def content(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        blobs = {
            "exact": (self.exact, "<f8"),
            "single": (self.single, "<f4"),
            "rounded": (self.rounded, "<i2"),
            "whole": (self.whole, "<u2"),
        }
        return {
            "arrays": self.runs,
            "data": self.data,
            "moments": self.moments,
            "terms": self.terms,
            "frame_steps": STEPS,
            **{name: _text(parts, kind) for name, (parts, kind) in blobs.items()},
        }


def _place(kept: list[Any], value: Any) -> int:
    """Return where ``value`` is in a list, to which it is added if it is not there."""
    if value not in kept:
        kept.append(value)
    return kept.index(value)


@np.errstate(over="ignore")  # beyond single precision is infinite
def _text(parts: list[Any], kind: str) -> str:
    flat = [np.asarray(part).astype(kind).ravel() for part in parts]
    return base64.b64encode(b"".join(part.tobytes() for part in flat)).decode()


def frame(x: Array) -> tuple[Array, float]:
    """Return the middle (D,) of inputs (N, D) and their greatest width, 1 if they are all equal.

    Examples
    --------
    >>> frame(np.array([[-1.0, 2.0], [3.0, 3.0]]))
    (array([1. , 2.5]), 4.0)
    """
    low, high = x.min(axis=0), x.max(axis=0)
    (width,) = beyond_rounding([(high - low).max()], np.abs(x).max())
    return (low + high) / 2, float(np.nan_to_num(width, nan=1.0))


@np.errstate(all="ignore")
def rounded(places: Array, middle: Array, reach: float) -> NDArray[np.int16]:
    """Return coordinates in 16 bits each: finely near the data, coarsely far away.

    A coordinate is u = (p - middle) / reach, and v = u / (1 + |u|) lies between -1 and 1 and is
    rounded to 1/`STEPS`; so u is known to (1 + |u|)^2 / (2 `STEPS`), in the frame that is drawn
    (|u| < 1) to 1/16,000 of the width of the inputs. What is not finite is -32768.

    Parameters
    ----------
    places : (..., D)
    middle : (D,)
    reach : float

    Examples
    --------
    >>> rounded(np.array([[0.0], [1.0], [1e12], [np.nan]]), np.array([0.0]), 1.0).ravel()
    array([     0,  16383,  32766, -32768], dtype=int16)
    """
    u = (np.asarray(places, dtype=float) - middle) / reach
    v = np.round(STEPS * u / (1.0 + np.abs(u)))
    return np.where(np.isfinite(v), v, -32768).astype(np.int16)
