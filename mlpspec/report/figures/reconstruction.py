"""True inputs against the prototypes matched to them."""

from __future__ import annotations

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table
from mlpspec.metrics.prototypes import match
from mlpspec.report.figures import base, marks
from mlpspec.store.tables import Table


def rows(analysis: Analysis) -> Table:
    """Return inputs and matched prototypes of the N nearest to 20, of at most `POOLED` seeds."""
    if not base.single_networks(analysis, several=False):
        return {}
    parts = []
    for run, params, x, _ in base.networks(analysis, 20):
        columns = {"losses": run.label, "seed": run.seed, "n_samples": run.n_samples}
        (inputs,), (matched,) = match(x[None], params.prototypes)
        pairs = {"input": x[inputs, 0], "prototype": params.prototypes[0, matched, 0]}
        parts.append({**columns, **pairs})
    return as_table(parts)


def draw(table: Table) -> base.Canvas:
    """Draw true inputs against matched prototypes, per subset."""
    figure, axes = marks.panels(table, (2.3, 2.2), 0.2, "true input x", "matched prototype")
    low, high = table["input"].min(), table["input"].max()
    margin = 0.125 * marks.width_of(table["input"])
    ends = (low - margin, high + margin)
    for ax, here, (colour, marker) in axes:
        x, p = here["input"], here["prototype"]
        ax.axhspan(low, high, color=marks.HULL, alpha=0.08, lw=0)
        ax.plot(ends, ends, color="#999999", lw=0.7)
        inside = (p >= ends[0]) & (p <= ends[1])
        heavy = len(p) > marks.RASTER_ABOVE
        x, p = x[inside], p[inside]
        ax.plot(x, p, marker, color=colour, ms=2.8, mew=0, alpha=0.55, rasterized=heavy)
        if not inside.all():
            marks.note(ax, f"{100 * (~inside).mean():.0f} % beyond the frame")
        ax.set(xlim=ends, ylim=ends, aspect="equal")
    return figure


def caption(table: Table) -> str:
    """Say what is pooled, and what the diagonal means."""
    return (
        f"True inputs against the prototypes matched to them, N = {table['n_samples'][0]}, "
        f"{base.n_seeds(table)} seeds pooled. On the diagonal the input can be read from the "
        "weights. Shaded: the hull."
    )


FIGURE = base.Figure(rows, draw, caption)
