"""The columns of a figure as pictures of their own, which narrow screens stack.

A column is a window onto the figure, which is in the page once: it shows the groups of the panels
that stand above each other by reference; of a figure that is read line by line, each panel by
itself. Where panels have one scale, which is drawn at one of them, others borrow it from there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpspec.arrays import Array

if TYPE_CHECKING:
    from mlpspec.report.figures.base import Canvas

PIXELS = 104
"""Of an inch of a figure, so that text of 8 points is 11.5 pixels high."""

LEAST = 0.7
"""Of that, where there is less room; a column that is wider still scrolls."""

MARGIN = 0.04
"""Around a column, in inches."""

THIN = 0.5
"""In inches: what is narrower, such as a scale of colours, belongs to all columns on its left."""


def parts(name: str, canvas: Canvas) -> list[str]:
    """Return the columns of a laid out figure and those of its legends, each an SVG.

    The groups of the figure get names, to which these refer, so it must be rendered afterwards.
    """
    panels = [ax for ax in canvas.axes if ax.axison] or canvas.axes
    for number, ax in enumerate(panels):
        ax.set_gid(f"{name}-panel-{number}")
        ax.yaxis.set_gid(f"{name}-scale-{number}")
    thin = [ax for ax in panels if ax.bbox.width < THIN * canvas.dpi]
    wide = [ax for ax in panels if ax not in thin]
    columns: list[list[Any]] = [[ax] for ax in wide] if canvas.in_lines else _columns(wide)
    first, last = columns[0], columns[-1]
    # A first column that is narrower than the others says what their rows are.
    narrow = len(columns) > 1 and first[0].bbox.width < 0.9 * last[0].bbox.width
    drawn = []
    for column in columns[1:] if narrow else columns:
        shown = [(ax, 0.0, 0.0) for ax in column]
        shown += [(ax, column[0].bbox.x1 - last[0].bbox.x1, 0.0) for ax in thin]
        if narrow:
            edge = min(ax.get_tightbbox().x0 for ax in column) - MARGIN * canvas.dpi
            right = edge - max(ax.get_tightbbox().x1 for ax in first)
            shown += [(ax, right, 0.0) for ax in first]
        else:
            for ax, one in itertools.product(column, wide):
                beside, below = np.isclose(ax.bbox.min, one.bbox.min)[::-1]
                if beside and _lacks(ax.yaxis, one.yaxis):
                    shown.append((one.yaxis, ax.bbox.x0 - one.bbox.x0, 0.0))
                if below and canvas.in_lines and _lacks(ax.xaxis, one.xaxis):
                    one.xaxis.set_gid(f"{name}-across-{wide.index(one)}")
                    shown.append((one.xaxis, 0.0, ax.bbox.y0 - one.bbox.y0))
        boxes = [(artist.get_tightbbox(), by) for artist, *by in shown]
        box = _around([box.translated(*by) for box, by in boxes if box], canvas)
        uses = [_use(artist, *(np.array(by) / canvas.dpi)) for artist, *by in shown]
        drawn.append(_window(box + np.array([-1, -1, 1, 1]) * MARGIN, canvas, uses))
    for number, legend in enumerate(canvas.legends):
        legend.set_gid(f"{name}-legend-{number}")
        left, bottom, right, top = _around([legend.get_window_extent()], canvas)
        texts = [_around([text.get_window_extent()], canvas) for text in legend.get_texts()]
        ends: dict[float, float] = {}  # of the columns of its entries, by their starts
        for text in sorted(texts, key=lambda text: float(text[0])):
            ends[text[0]] = max(text[2], ends.get(text[0], 0.0))
        edges = [left, *(end + 2 * MARGIN for end in [*ends.values()][:-1]), right]
        for one, other in itertools.pairwise(edges):
            drawn.append(_window(np.array([one, bottom, other, top]), canvas, [_use(legend)]))
    return drawn


def _columns(panels: Sequence[Any]) -> list[list[Any]]:
    """Return panels by where they stand, from left to right."""
    columns: list[list[Any]] = []
    for ax in sorted(panels, key=lambda ax: float(ax.bbox.x0)):
        if columns and ax.bbox.x0 < max(other.bbox.x1 for other in columns[-1]):
            columns[-1].append(ax)
        else:
            columns.append([ax])
    return columns


def _lacks(axis: Any, other: Any) -> bool:
    """Return whether an axis has no labels, and another one has."""
    return axis.get_tightbbox() is None and other.get_tightbbox() is not None


def _around(boxes: Sequence[Any], canvas: Canvas) -> Array:
    """Return left, bottom, right and top of what encloses boxes, (4,), in inches."""
    found = np.array([box.extents for box in boxes]) / canvas.dpi
    return np.concatenate([found[:, :2].min(axis=0), found[:, 2:].max(axis=0)])


def _use(artist: Any, right: float = 0.0, up: float = 0.0) -> str:
    moved = f" x='{72 * right:.2f}'" if right else ""
    moved += f" y='{-72 * up:.2f}'" if up else ""
    return f"<use href='#{artist.get_gid()}'{moved}/>"


def _window(box: Array, canvas: Canvas, shown: Sequence[str]) -> str:
    """Return an SVG of what lies in a box (4,) of a figure."""
    left, bottom, right, top = box
    place = (left, canvas.get_figheight() - top, right - left, top - bottom)
    view = " ".join(f"{72 * number:.2f}" for number in place)
    width = PIXELS * (right - left)
    style = f"width:{width:.0f}px;min-width:{LEAST * width:.0f}px"
    return f"<svg viewBox='{view}' style='{style}'>{''.join(shown)}</svg>"
