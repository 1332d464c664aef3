"""Medians by subset, side by side for the settings that vary besides N."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Cell, as_table, median_columns, where
from mlpspec.report.figures import base, marks
from mlpspec.shown import readable
from mlpspec.store.tables import Table
from mlpspec.study.run import SETTINGS

CONTRASTED = (
    "reconstruction_error",
    "nearest_error",
    "distinct_usage_ratio",
    "expelled_fraction",
    "outside_fraction",
)
CONTRAST_STYLE = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
)
"""Colour and marker of the combinations of settings; one picture can tell so many apart."""


COVERED = ((), ("steps",), ("temperature",))
"""Settings that vary besides N of which there are figures of their own."""


def rows(analysis: Analysis) -> Table:
    """Return medians with exact intervals by subset, N and the settings that vary besides.

    None if there are figures of their own of these, or too many combinations of them.
    """
    grid = analysis.grid
    fields = grid.fields[1:]
    if fields in COVERED or "variant" in fields or analysis.compressed:
        return {}
    if len({cell[1:] for cell in grid.cells}) > len(CONTRAST_STYLE):
        return {}
    defaults = [SETTINGS[field].default for field in fields]

    def defaults_first(cell: Cell) -> tuple[Any, ...]:
        return cell[0], *((a != b, a) for a, b in zip(cell[1:], defaults, strict=True))

    parts = []
    cells = sorted(grid.cells, key=defaults_first)
    for name, cell, label in itertools.product(CONTRASTED, cells, base.shown(grid)):
        settings = zip(fields, cell[1:], strict=True)
        variant = ", ".join(f"{field.replace('_', ' ')} {value}" for field, value in settings)
        row = {"losses": label, "n_samples": cell[0], "variant": variant, "measurement": name}
        parts.append({**row, **median_columns(grid.values(cell, label, name))})
    return as_table(parts)


def draw(table: Table) -> base.Canvas:
    """Draw medians with intervals by subset, side by side for the values of other settings."""
    variants = base.distinct(table["variant"])
    labels = list(marks.subset_styles(table["losses"].tolist()))
    figure, axes, parts = marks.panels_by_size(table, (0.9, 1.5), (2.6, 1.6), sharey="row")
    apart = min(0.22, 0.7 / len(variants))
    for ax, name, here in parts:
        here = marks.floored(name, here)
        for place, variant in enumerate(variants):
            colour, marker = CONTRAST_STYLE[place]
            medians = where(here, variant=variant)
            shift = (place - (len(variants) - 1) / 2) * apart
            at = np.array([labels.index(label) for label in medians["losses"]]) + shift
            look: Any = {"fmt": marker, "ms": 3.6, "mew": 0, "elinewidth": 0.8, "color": colour}
            marks.draw_medians(ax, at, medians, label=variant, **look)
        marks.scale_values(ax, name)
        ax.set_xlim(-0.6, len(labels) - 0.4)
    for ax in axes[-1]:
        ax.set_xticks(range(len(labels)), [readable(label) for label in labels])
        ax.tick_params("x", rotation=90, labelsize=7)
    marks.legend_below(figure, axes[0, 0].get_legend_handles_labels()[0])
    return figure


def caption(table: Table) -> str:
    """Say what the marks are."""
    return (
        "Measurements by structural loss for each N, side by side for the settings that vary. "
        f"Markers and bars: median over {base.n_seeds(table)} seeds and its exact "
        f"{base.confidence(table)} order-statistic interval. {base.floors(table)}"
    )


FIGURE = base.Figure(rows, draw, caption)
