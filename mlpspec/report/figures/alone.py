"""What a loss alone does to prototypes, without a fit."""

from __future__ import annotations

import numpy as np

from mlpspec.analysis.comparisons import as_table, where
from mlpspec.arrays import Array
from mlpspec.metrics.hull import corners
from mlpspec.report import card
from mlpspec.report.figures import base, marks
from mlpspec.shown import three_digits
from mlpspec.store.tables import Table

END = "#D55E00"
REACH = 1.8
"""How far from the origin frames extend."""


def rows(runs: card.CardRuns) -> Table:
    """Return inputs, and prototypes at the start and at the end, of the runs without a fit.

    ``kind`` is ``input``, ``start`` or ``end``; ``y`` is NaN on a line.
    """
    parts = []
    for key, run in runs.alone.runs.items():
        if runs.alone.status[key] == "failed":
            continue
        start = card.start(run)
        end = runs.alone.params(key).prototypes
        sets = {"input": start.x[0], "start": start.prototypes[0], "end": end[0]}
        for kind, points in sets.items():
            place = {"n_inputs": run.n_inputs, "n_samples": run.n_samples, "seed": run.seed}
            x, y = points.T if run.n_inputs == 2 else (points[:, 0], np.nan)
            parts.append({**place, "kind": kind, "unit": np.arange(len(points)), "x": x, "y": y})
    return as_table(parts)


def _points(table: Table) -> list[Array]:
    """Return the inputs, starts and ends (K, 2) of one seed."""
    points = np.stack([table["x"], table["y"]], axis=1)
    return [points[table["kind"] == kind] for kind in ("input", "start", "end")]


def draw(table: Table) -> base.Canvas:
    """Draw what a loss alone does to prototypes: three seeds on a line, one in the plane."""
    figure = base.canvas((9.6, 4.1), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.45, 1.0), squeeze=False)[0]
    line, plane = (where(table, n_inputs=n_inputs) for n_inputs in (1, 2))
    seeds = np.unique(line["seed"])[:3]
    axes = left.subplots(len(seeds), 1, sharex=True, squeeze=False)[:, 0]
    for ax, seed in zip(axes, seeds, strict=True):
        inputs, start, end = (points[:, 0] for points in _points(where(line, seed=seed)))
        ax.axvspan(inputs.min(), inputs.max(), color=marks.HULL, alpha=0.10, lw=0)
        ax.plot(inputs, np.full(len(inputs), 1.3), "|", ms=7, mew=0.8, color=marks.HULL)
        ax.plot([start, end], [0.0, 1.0], color=marks.GREY, lw=0.5, zorder=1)
        ax.plot(start, np.zeros(len(start)), "o", ms=3.5, mfc="white", mec=marks.GREY)
        ax.plot(end, np.ones(len(end)), "D", ms=3.5, mew=0, color=END, alpha=0.7)
        marks.note_beyond(ax, end, (-REACH, REACH), 0.98, fontsize=6.5)
        ax.set(xlim=(-REACH, REACH), ylim=(-0.25, 1.75))
        ax.set_yticks([0.0, 1.0, 1.3], ["start", "end", "inputs"])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_title(f"on a line, seed {seed}", loc="left")
    axes[-1].set_xlabel("position (units of x); shaded: hull of the inputs")

    ax = right.subplots()
    seed = plane["seed"].min()
    inputs, start, end = _points(where(plane, seed=seed))
    ax.fill(*corners(inputs).T, color=marks.HULL, alpha=0.10, lw=0)
    moves = np.stack([start, end])
    ax.plot(moves[:, :, 0], moves[:, :, 1], color=marks.GREY, lw=0.5, zorder=1)
    ax.plot(*start.T, "o", ms=4, mfc="white", mec=marks.GREY)
    ax.plot(*inputs.T, "+", ms=6, mew=1.0, color=marks.HULL, zorder=3)
    ax.plot(*end.T, "D", ms=4, mew=0, color=END, alpha=0.7, zorder=2)
    far = int((np.abs(end) > REACH).any(axis=1).sum())
    furthest = three_digits(np.linalg.norm(end, axis=1).max())
    beyond = f"; {far} beyond the frame, to {furthest}" if far else ""
    ax.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal")
    ax.set(xlabel="x\u2081 (units of x)", ylabel="x\u2082 (units of x)")
    ax.set_title(f"in the plane, seed {seed}{beyond}", loc="left")
    handles = [
        marks.entry("input", color=marks.HULL, marker="+", mew=1.2, ls="", ms=6),
        marks.entry("prototype, start", mfc="white", mec=marks.GREY, marker="o", ls="", ms=4),
        marks.entry("prototype, end", color=END, marker="D", ls="", ms=4),
    ]
    marks.legend_below(figure, handles)
    return figure


def caption(table: Table) -> str:
    """Say which runs are shown, and what the table below has."""
    return (
        f"Prototypes before and after {card.ALONE_STEPS:,} steps on the loss alone, without a "
        f"fit (weight 1, N = {card.ALONE_SIZE}): three seeds on a line, one in the plane. Grey "
        "lines join a prototype's start and end; they are not its path. Shaded: the convex "
        "hull of the inputs. Prototypes beyond the frame are counted, with the distance of the "
        f"furthest from the origin. The table: medians over {len(card.SEEDS)} seeds with their "
        "exact intervals. How far it has settled: the gradient at the end over that at the start, "
        "and the furthest way of a prototype in the last tenth of the steps, in mean spacings."
    )


FIGURE = base.Figure(rows, draw, caption, title="The loss alone")
