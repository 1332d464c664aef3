"""Figures of the report, and verdicts, for those who ask results for them in Python."""

from __future__ import annotations

from typing import Any

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.claims import Verdict
from mlpspec.errors import InputError, unknown
from mlpspec.report import figures
from mlpspec.report.figures.base import Canvas
from mlpspec.shown import html_of
from mlpspec.store.results import Results

TOLD = ("claim", "text", "basis", "verdict", "met_at", "against_at", "effect", "low", "high")
"""Columns of the table of verdicts that a notebook shows."""


class Verdicts(list[Verdict]):
    """A list of verdicts that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        rows = [[getattr(verdict, name) for name in TOLD] for verdict in self]
        return html_of("Verdicts", [] if rows else ["none: not a study of the grid"], TOLD, rows)


def verdicts(results: Results) -> Verdicts:
    """Return the verdicts on the claims; see `mlpspec.Results.verdicts`."""
    return Verdicts(Analysis(results).verdicts)


def plot(results: Results, name: str, ax: Any = None) -> Canvas:
    """Draw a figure; see `mlpspec.Results.plot`."""
    figure = name.partition("-")[0]
    if figure not in figures.FIGURES:
        raise unknown("figure", name, figures.FIGURES)
    analysis = Analysis(results)
    if "ok" not in results.status.values():
        raise InputError(f"none of the runs of {results.directory} ended ok; nothing can be drawn")
    tables = figures.tables(analysis, [figure])
    if name not in tables:
        can = ", ".join(figures.tables(analysis))
        raise InputError(f"the figure {name} cannot be drawn of these runs; what can: {can}")
    return figures.draw(name, tables[name], own=False, ax=ax)
