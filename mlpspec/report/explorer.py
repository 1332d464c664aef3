"""The explorer: one page on which single runs are looked at, compared and shown to others.

``explore.html`` holds everything that it shows: the measurements of the runs, their final
parameters and data in full, and where a run was recorded while it trained, its prototypes at those
moments, rounded, and the terms of its objective. It needs no network and no other file. Numbers are
text in JSON, arrays are their bytes in base 64; data and steps that many runs have stand there
once.
"""

from __future__ import annotations

import base64
import itertools
import json
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpspec import __version__
from mlpspec.analysis.comparisons import Grid, cell_fields, select, where
from mlpspec.arrays import Array
from mlpspec.compress import NONE
from mlpspec.data.spec import parse_call
from mlpspec.metrics.hull import corners, expelled, tolerance
from mlpspec.metrics.measure import MEASUREMENTS
from mlpspec.metrics.prototypes import match
from mlpspec.metrics.statistics import less, median_interval
from mlpspec.network.forward import forward
from mlpspec.network.neurons import neuron_of
from mlpspec.report.figures.base import title_of
from mlpspec.report.figures.marks import subset_styles, width_of
from mlpspec.report.report import filled
from mlpspec.shown import readable
from mlpspec.store.results import Results
from mlpspec.store.store import Record
from mlpspec.store.tables import Table, measurement_names, replacing

MOST_BYTES = 3_800_000
"""Of what is told of runs: with the page itself fewer than 4 MB. The paper grid takes 3.0."""

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
    data = _json(content(results)).replace("<", "\\u003c")
    return filled(html, title=escape(results.study.name), script="".join(scripts), data=data)


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
    table = results.table
    rows = np.flatnonzero(table["status"] != "failed")
    rows = rows[np.lexsort((table["seed"][rows], _compressed(table, rows)))]
    names = measurement_names(table)
    columns = ("key", "losses", "status", "seed", *cell_fields(select(table, rows)), *names)
    held: dict[int, dict[str, Any]] = {}
    shared: dict[str, int] = {}  # what many runs have, as text, and its place
    size = 0
    for row, record in zip(rows.tolist(), results.records(table["key"][rows]), strict=False):
        run = {"cells": [_plain(table[name][row]) for name in columns], **_held(record)}
        for name in ("data", "neuron", "steps"):
            if name in run:
                text = _json(run[name])
                size += 0 if text in shared else len(text)
                run[name] = shared.setdefault(text, len(shared))
        size += len(_json(run))
        if size > MOST_BYTES:
            break
        held[row] = run
    chosen = np.array(sorted(held), dtype=int)
    styles = subset_styles(table["losses"][chosen].tolist())
    return {
        "study": results.study.name,
        "question": results.study.question,
        "version": __version__,
        "runs": len(results.runs),
        "failed": list(results.status.values()).count("failed"),
        "styles": {label: [colour, readable(label)] for label, (colour, _) in styles.items()},
        "fields": cell_fields(select(table, chosen)),
        "measurements": {name: _described(name) for name in names},
        "first": _first(table, chosen),
        "frame_steps": STEPS,
        "columns": columns,
        "shared": [json.loads(text) for text in shared],
        "shown": [held[row] for row in sorted(held)],
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _compressed(table: Table, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which rows are of compressed networks."""
    return table["compress"][rows] != NONE if "compress" in table else np.zeros(len(rows), bool)


def _described(name: str) -> list[Any]:
    """Return label, unit and floor of a measurement."""
    known = MEASUREMENTS.get(name)
    unit = known.unit if known else "s" if name == "seconds" else ""
    return [title_of(name), unit, known.floor if known else None]


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
    fields, compressed = cell_fields(select(table, rows)), _compressed(table, rows)
    rows = rows if compressed.all() else rows[~compressed]
    sizes = np.unique(table["n_samples"][rows])
    size = sizes[np.abs(sizes - NEAR).argmin()]
    shown = where(select(table, rows), n_samples=size)
    grid = Grid(shown, fields)
    repelling = [name for name in REPELLING if name in grid.labels]
    holding = [name for name in HOLDING if name in grid.labels][:1]
    most, found = -np.inf, None
    for cell in grid.cells:
        for two in itertools.product(repelling or grid.labels, holding or grid.labels):
            gaps = less(*(grid.values(cell, label, "expelled_fraction") for label in two))
            median = median_interval(gaps).median
            if two[0] != two[1] and median > most:  # not if it is NaN
                most, found = median, (cell, two, gaps)
    if found is None:
        return {"a": str(table["key"][rows[0]])}
    cell, two, gaps = found
    n_seeds, nearest = int(np.isfinite(gaps).sum()), np.nanargmin(np.abs(gaps - most))
    place = {**dict(zip(fields, cell, strict=True)), "seed": grid.seeds[nearest]}
    a, b = (str(where(shown, losses=label, **place)["key"][0]) for label in two)
    alone = f"of {' and '.join(repelling)} alone, " if len(repelling) == 2 else ""
    also = "".join(f", {name} = {_plain(place[name])}" for name in fields[1:])
    rule = (
        f"An example, chosen by a rule: at N = {size}{also}, {alone}the one that expels more of "
        f"its neurons than {two[1]} does by the most ({most:.2g} in the median of {n_seeds} "
        f"seed{'s' * (n_seeds > 1)}), and the seed nearest to that median."
    )
    return {"a": a, "b": b, "rule": rule}


# ------------------------------------------------------------------------- arrays


@np.errstate(all="ignore")  # a diverged run may be anywhere among the finite numbers
def _held(record: Record) -> dict[str, Any]:
    """Return the data and the arrays of a run that did not fail, as JSON can hold them."""
    run = record.run
    assert record.x is not None
    assert record.y is not None
    assert record.params is not None
    x, y, flat = (np.asarray(a, dtype=float) for a in (record.x, record.y, record.params))
    kind = neuron_of(run.neuron)
    params = kind.unflatten(flat[None], run.n_inputs)
    matched = np.full(len(x), -1)  # where there are fewer neurons than inputs
    pairs = match(x[None], np.nan_to_num(params.prototypes))  # a vanished ridge has none
    matched[pairs[0][0]] = pairs[1][0]
    low, high = x.min(axis=0), x.max(axis=0)
    data = {
        "x": x.ravel().tolist(),
        "y": y.tolist(),
        "middle": ((low + high) / 2).tolist(),
        "reach": width_of(x),
        "hull": corners(x).tolist() if run.n_inputs < 3 else [],  # else no places are drawn
        "tolerance": tolerance(x[None]).item(),
    }
    held = {
        "k": params.shape[1],
        "neuron": {"neuron": parse_call(run.neuron).name, "epsilon": kind.EPSILON},
        "data": data,
        "params": _text(flat, "<f8"),
        "matched": _text(matched, "<i2"),
        "expelled": _text(expelled(forward(params, x[None], y[None])), "u1"),
    }
    if record.curve is not None and params.shape[1] == run.hidden_units:  # it is of the trained one
        curve = dict(record.curve)
        then = kind.unflatten(curve.pop("params"), run.n_inputs).prototypes
        held["steps"] = curve.pop("steps").tolist()
        held["rounded"] = _text(rounded(then, np.array(data["middle"]), data["reach"]), "<i2")
        held["terms"] = {name: _text(values, "<f4") for name, values in curve.items()}
    return held


@np.errstate(over="ignore")  # beyond single precision is infinite
def _text(values: Any, kind: str) -> str:
    return base64.b64encode(np.asarray(values).astype(kind).tobytes()).decode()


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
