"""Where prototypes lie along the axis, at the largest N."""

from __future__ import annotations

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table, select, where
from mlpspec.report.figures import base, marks
from mlpspec.shown import readable
from mlpspec.store.tables import Table

LARGEST = 10**9
"""Above every N, so that the largest is the nearest."""


def rows(analysis: Analysis) -> Table:
    """Return prototypes and inputs (``kind``) of the largest N, of at most `POOLED` seeds."""
    if not base.single_networks(analysis, several=False):
        return {}
    parts = []
    for run, params, inputs, _ in base.networks(analysis, LARGEST):
        for kind, points in (("input", inputs), ("prototype", params.prototypes[0])):
            columns = {"losses": run.label, "seed": run.seed, "kind": kind}
            parts.append({**columns, "position": points[:, 0]})
    return as_table(parts)


def draw(table: Table) -> base.Canvas:
    """Draw prototypes along the axis: one seed and all seeds, far ones at the edge."""
    styles = marks.subset_styles(table["losses"].tolist())
    seeds = np.unique(table["seed"])
    inputs = where(table, kind="input")
    low, high = inputs["position"].min(), inputs["position"].max()
    edge = 0.75 * marks.width_of(inputs["position"])
    limits = (low - edge, high + edge)
    n_samples = len(where(inputs, losses=next(iter(styles)), seed=seeds[0])["seed"])
    size = (7.8, 0.62 * len(styles) + 1.0)
    figure, axes = marks.grid_of_axes(len(styles), 2, size, sharex=True)
    jitter = np.random.Generator(np.random.PCG64(0))
    for row, (label, (colour, marker)) in zip(axes, styles.items(), strict=True):
        for ax, chosen in zip(row, (seeds[:1], seeds), strict=True):
            here = where(table, losses=label)
            here = select(here, np.isin(here["seed"], chosen))
            ticks, p = (here["position"][here["kind"] == kind] for kind in ("input", "prototype"))
            ax.axvspan(ticks.min(), ticks.max(), color=marks.HULL, alpha=0.10, lw=0)
            if len(chosen) == 1:
                ax.plot(ticks, np.full(len(ticks), -0.75), "|", ms=5, mew=0.5, color="#333333")
            near = (p >= limits[0]) & (p <= limits[1])
            at, height = p[near], jitter.uniform(-0.4, 0.8, len(p))[near]
            heavy = len(p) > marks.RASTER_ABOVE
            ax.plot(at, height, marker, color=colour, ms=2.6, mew=0, alpha=0.6, rasterized=heavy)
            marks.note_beyond(ax, p, limits, 1.0, fontsize=6, color="#333333")
            ax.set(ylim=(-1, 1.7), yticks=[], xlim=limits)
            ax.spines["left"].set_visible(False)
        name = readable(label).replace(" + ", "\n+ ")
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    axes[0, 0].set_title(f"seed {seeds[0]}, inputs as ticks (N = {n_samples})")
    axes[0, 1].set_title(f"{len(seeds)} seeds pooled")
    for ax in axes[-1]:
        ax.set_xlabel("prototype position (units of x); shaded: hull of the inputs")
    return figure


def caption(table: Table) -> str:
    """Say what the marks are."""
    return (
        "Prototypes along the axis at the largest N, by structural loss; the height within a row "
        "means nothing. Shaded: the convex hull of the inputs. Prototypes beyond the frame are "
        "counted at its edge, with the distance of the furthest from the origin."
    )


FIGURE = base.Figure(rows, draw, caption)
