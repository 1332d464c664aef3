"""What the networks of one seed do along the axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table, where
from mlpspec.network.forward import forward
from mlpspec.report.figures import base, marks
from mlpspec.store.tables import Table


def rows(analysis: Analysis) -> Table:
    """Return what the networks of one seed at the N nearest to 10 do along the axis.

    ``kind`` is ``response`` (of neuron ``unit``), ``output``, ``datum`` or ``prototype``.
    """
    if not base.single_networks(analysis, several=False):
        return {}
    domain = next(iter(analysis.problems.values())).domain
    margin = 0.15 * domain.width
    axis = np.linspace(domain.low - margin, domain.high + margin, 161)
    parts: list[dict[str, Any]] = []
    for run, params, inputs, targets in base.networks(analysis, 10, seeds=1):
        net = forward(params, axis[None, :, None], np.zeros((1, len(axis))))
        prototypes = params.prototypes[0, :, 0]
        curves = [("response", unit, axis, h) for unit, h in enumerate(net.hidden[0].T)]
        curves += [("output", -1, axis, net.output[0])]
        curves += [("datum", -1, inputs[:, 0], targets)]
        curves += [("prototype", -1, prototypes, np.zeros(len(prototypes)))]
        for kind, unit, x, y in curves:
            parts.append({**base.place_of(run), "kind": kind, "unit": unit, "x": x, "y": y})
    return as_table(parts)


def draw(table: Table) -> base.Canvas:
    """Draw every neuron's response, the fitted curve, data and prototypes of one seed."""
    figure, axes = marks.panels(table, (2.5, 2.0), 0.6, "input x", "response, output")
    for ax, here, (colour, _) in axes:
        output, data = where(here, kind="output"), where(here, kind="datum")
        axis = output["x"]
        responses = where(here, kind="response")["y"].reshape(-1, len(axis))
        ax.plot(axis, responses.T, lw=0.6, color=colour, alpha=0.55)
        ax.plot(axis, output["y"], color="#333333", lw=1.4)
        look: dict[str, Any] = {"ms": 3.5, "mfc": "white", "mec": "#333333", "mew": 0.9}
        ax.plot(data["x"], data["y"], "o", zorder=3, **look)
        p = where(here, kind="prototype")["x"]
        near = (p >= axis[0]) & (p <= axis[-1])
        ax.plot(p[near], np.full(near.sum(), -1.45), "^", ms=4, color=colour, mew=0)
        if (~near).any():
            marks.note(ax, f"{(~near).sum()} beyond the frame")
        ax.set(xlim=(axis[0], axis[-1]), ylim=(-1.65, 1.65))
    handles = [
        marks.entry("response h\u2096(x)", color="#777777", lw=0.8),
        marks.entry("output f(x)", color="#333333", lw=1.4),
        marks.entry("data", color="#333333", marker="o", mfc="white", ls="", ms=4),
        marks.entry("prototype p\u2096", color="#777777", marker="^", ls="", ms=4),
    ]
    marks.legend_below(figure, handles)
    return figure


def caption(table: Table) -> str:
    """Say which networks are shown."""
    return (
        f"What the networks of seed {table['seed'][0]} do at N = {table['n_samples'][0]}: the "
        "responses of their neurons, their output, the data, and the prototypes at the bottom."
    )


FIGURE = base.Figure(rows, draw, caption)
