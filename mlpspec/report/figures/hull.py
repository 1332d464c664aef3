"""Inputs with their hull, ridges and prototypes in the plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table
from mlpspec.arrays import Array
from mlpspec.metrics.hull import corners, expelled
from mlpspec.network.forward import forward
from mlpspec.network.neurons import RidgeParams
from mlpspec.report.figures import base, marks
from mlpspec.store.tables import Table

EXPELLED = "#D55E00"


def rows(analysis: Analysis) -> Table:
    """Return inputs, ridges and prototypes in the plane, of one seed at the smallest N.

    A ridge is the line through ``x``, ``y`` along ``dx``, ``dy``; a radial neuron has a ``radius``
    instead, at which it responds with 1/e. ``expelled`` is 1 where the neuron has left the data.
    Above two dimensions (``n_inputs``) points are projected onto the first two principal axes of
    the inputs, where ridges, which fill the plane, have no direction.
    """
    if not base.single_networks(analysis, several=True):
        return {}
    parts = []
    for run, params, inputs, targets in base.networks(analysis, 0, seeds=1):
        left = expelled(forward(params, inputs[None], targets[None]))[0]
        place = {**base.place_of(run), "n_inputs": run.n_inputs}
        project = _principal_plane(inputs) if run.n_inputs > 2 else lambda points: points
        blank: dict[str, Any] = {"dx": 0.0, "dy": 0.0, "radius": 0.0, "expelled": 0}
        shape = {**blank, "expelled": left.astype(int)}
        if not isinstance(params, RidgeParams):
            shape["radius"] = 1.0 / np.maximum(params.slopes[0], 1e-3)
        elif run.n_inputs == 2:
            u, v = params.hidden_weight[0].T
            length = np.hypot(u, v)
            length[length == 0.0] = 1.0
            shape |= {"dx": -v / length, "dy": u / length}
        for kind, points, columns in (
            ("input", inputs, blank),
            ("neuron", params.prototypes[0], shape),
        ):
            x, y = project(points).T
            parts.append({**place, "kind": kind, "x": x, "y": y, **columns})
    return as_table(parts)


def _principal_plane(x: Array) -> Callable[[Array], Array]:
    """Return the projection (..., D) to (..., 2) onto the first two principal axes of x (N, D)."""
    mean = x.mean(axis=0)
    axes = np.linalg.svd(x - mean, full_matrices=False)[2][:2]
    # The sign of an axis is arbitrary: its largest component is to be positive.
    axes *= np.sign(axes[[0, 1], np.abs(axes).argmax(axis=1)])[:, None]
    return lambda points: np.asarray((points - mean) @ axes.T)


def draw(table: Table) -> base.Canvas:
    """Draw inputs with their hull, ridges and prototypes in the plane, per subset."""
    projected = table["n_inputs"].max() > 2
    names = ("principal axis 1", "principal axis 2") if projected else ("x\u2081", "x\u2082")
    figure, axes = marks.panels(table, (2.4, 2.4), 0.7, *names)
    inputs = np.stack([table[name][table["kind"] == "input"] for name in "xy"], axis=1)
    middle = (inputs.max(axis=0) + inputs.min(axis=0)) / 2
    reach = 1.2 * marks.width_of(inputs)
    for ax, here, _ in axes:
        positions = np.stack([here["x"], here["y"]], axis=1)
        points = positions[here["kind"] == "input"]
        outline = corners(points)
        ax.fill(*outline.T, color=marks.HULL, alpha=0.10, lw=0)
        ax.plot(*np.vstack([outline, outline[:1]]).T, color=marks.HULL, lw=0.8)
        far = 0
        for row in np.flatnonzero(here["kind"] == "neuron"):
            position, radius = positions[row], here["radius"][row]
            if radius:
                turn = np.linspace(0.0, 2.0 * np.pi, 61)
                line = radius * np.array([np.cos(turn), np.sin(turn)]).T + position
            else:
                along = np.array([here["dx"][row], here["dy"][row]])
                length = 9 * reach + np.hypot(*(position - middle))
                line = position + length * np.array([-along, along])
            gone = bool(here["expelled"][row])
            colour = EXPELLED if gone else marks.GREY
            ax.plot(*line.T, color=colour, lw=0.6, alpha=0.8, ls="--" if gone else "-", zorder=1)
            mark = "X" if gone else "D"
            ax.plot(*position, mark, ms=4.5, mew=0.4, mec="white", color=colour, zorder=3)
            far += np.abs(position - middle).max() > reach
        ax.plot(*points.T, "o", ms=3, color=marks.HULL, zorder=2)
        if far:
            marks.note(ax, f"{far} beyond the frame")
        ends = np.stack([middle - reach, middle + reach], axis=1)
        ax.set(xlim=ends[0], ylim=ends[1], aspect="equal")
    shape = "" if projected else " and ridge"
    shape = " and circle of response 1/e" if table["radius"].any() else shape
    solid, dashed = ("-", "--") if shape else ("", "")
    handles = [
        marks.entry("input, and their hull", color=marks.HULL, marker="o", ls="", ms=4),
        marks.entry(f"prototype{shape}", color=marks.GREY, marker="D", ls=solid, ms=4),
        marks.entry("of an expelled neuron", color=EXPELLED, marker="X", ls=dashed, ms=5),
    ]
    marks.legend_below(figure, handles)
    return figure


def caption(table: Table) -> str:
    """Say what the marks are, and how inputs of several dimensions are shown."""
    n_inputs, where = table["n_inputs"][0], f"seed {table['seed'][0]}, N = {table['n_samples'][0]}"
    if n_inputs > 2:
        return (
            f"Inputs in {n_inputs} dimensions with their convex hull ({where}) and the neurons' "
            "prototypes, in projection onto the first two principal axes of the inputs; for "
            "radial neurons also the circle at which they respond with 1/e. What is inside the "
            "hull here may lie outside it there. Orange: the neuron has left the data."
        )
    return (
        f"Inputs in the plane with their convex hull ({where}); for each neuron its prototype and "
        "where it responds: a ridge's line of full response, or the circle at which a radial "
        "neuron responds with 1/e. Orange: the neuron has left the data."
    )


FIGURE = base.Figure(rows, draw, caption)
