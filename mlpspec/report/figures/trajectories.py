"""Prototypes while the network trains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table, where
from mlpspec.metrics.measure import silent
from mlpspec.network.forward import forward
from mlpspec.report.drawing import plain
from mlpspec.report.figures import base, marks
from mlpspec.shown import readable
from mlpspec.store.tables import Table


def rows(analysis: Analysis) -> Table:
    """Return the prototypes of the recorded runs inside over training, on a line.

    ``silent`` is 1 where the neuron answers no input with more than 0.01; ``low`` and ``high``
    are the ends of the hull.
    """
    recorded = analysis.inner("trajectories")
    if recorded is None:
        return {}
    parts = []
    for key, run in recorded.results.runs.items():
        curve = recorded.results.curve(key)
        x, y = recorded.results.dataset(key)
        moments = len(curve.steps)
        xs, ys = (np.broadcast_to(values, (moments, *values.shape[1:])) for values in (x, y))
        net = forward(curve.params, xs, ys)
        is_silent = silent(net).astype(int)
        ends = {"low": x.min(), "high": x.max()}
        for t in _log_spaced(curve.steps):
            when = {"step": curve.steps[t], "unit": np.arange(run.hidden_units)}
            then = {"position": net.prototypes[t, :, 0], "silent": is_silent[t]}
            parts.append({**base.place_of(run), **when, **then, **ends})
    return as_table(parts)


def _log_spaced(steps: NDArray[Any], count: int = 60) -> NDArray[Any]:
    """Return the indices of about ``count`` of the ascending steps, evenly spaced in the log."""
    wanted = np.concatenate([[0], np.geomspace(max(steps[1], 1), steps[-1], count)])
    return np.unique(np.abs(steps[:, None] - wanted).argmin(axis=0))


def _frame(table: Table) -> tuple[float, float]:
    """Return the middle and half the width of a frame twice as wide as the hull of the inputs."""
    low, high = float(table["low"].min()), float(table["high"].max())
    return (low + high) / 2, marks.width_of(np.array([low, high]))


def draw(table: Table) -> base.Canvas:
    """Draw prototypes over training time, side by side, silent neurons hollow."""
    styles = marks.subset_styles(table["losses"].tolist())
    size = (2.5 * len(styles), 3.0)
    figure, axes = marks.grid_of_axes(1, len(styles), size, sharex=True, sharey=True)
    middle, reach = _frame(table)
    for ax, (label, (colour, _)) in zip(axes[0], styles.items(), strict=True):
        here = where(table, losses=label)
        ax.axhspan(here["low"][0], here["high"][0], color=marks.HULL, alpha=0.10, lw=0)
        for unit in np.unique(here["unit"]):
            path = where(here, unit=unit)
            time, position, quiet = path["step"] + 1, path["position"], path["silent"] == 1
            ax.plot(time, position, color=colour, lw=0.7, alpha=0.7)
            fill = "white" if quiet[-1] else colour
            ax.plot(time[-1:], position[-1:], "o", ms=4, mew=0.8, mec=colour, mfc=fill)
            time, position = time[quiet][:-1:6], position[quiet][:-1:6]
            ax.plot(time, position, "o", ms=2.2, mew=0.5, mec=colour, mfc="white")
        ended = where(here, step=here["step"].max())["position"]
        beyond = int((np.abs(ended - middle) > reach).sum())
        if beyond:
            marks.note(ax, f"{beyond} end beyond the frame")
        ax.set(xscale="log", ylim=(middle - reach, middle + reach))
        ax.set(xlabel="training step + 1", title=readable(label))
    axes[0, 0].set_ylabel("prototype position (units of x)")
    return figure


def animate(table: Table, path: str) -> None:
    """Write the trajectories as an animated GIF."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    styles = marks.subset_styles(table["losses"].tolist())
    steps = np.unique(table["step"])
    middle, reach = _frame(table)
    with plain():
        figure = base.Canvas(figsize=(7.0, 2.6), layout="constrained")
        ax = figure.subplots()
        ax.axvspan(table["low"][0], table["high"][0], color=marks.HULL, alpha=0.10, lw=0)
        ax.set_yticks(range(len(styles)), [readable(label) for label in styles])
        ax.set(xlim=(middle - reach, middle + reach), ylim=(len(styles) - 0.5, -0.5))
        ax.set_xlabel("prototype position (units of x); shaded: hull; hollow: silent")

        def frame(step: int) -> list[Any]:
            for old in [*ax.lines]:
                old.remove()
            for place, (label, (colour, _)) in enumerate(styles.items()):
                for quiet, fill in ((0, colour), (1, "white")):
                    p = where(table, losses=label, step=step, silent=quiet)["position"]
                    ax.plot(p, np.full(len(p), place), "o", ms=6, mec=colour, mfc=fill, mew=1.0)
            ax.set_title(f"step {step}", loc="left")
            return []

        movie = FuncAnimation(figure, frame, frames=[*steps, *[steps[-1]] * 12], blit=False)
        movie.save(path, writer=PillowWriter(fps=10), dpi=90)


def caption(table: Table) -> str:
    """Say which runs are shown, and what hollow marks are."""
    return (
        f"Prototypes while the network trains (seed {table['seed'][0]}, "
        f"N = {table['n_samples'][0]}), on a logarithmic time axis. Shaded: the hull of the "
        "inputs. Hollow: neurons that answer no input with more than 0.01."
    )


FIGURE = base.Figure(rows, draw, caption, animate=animate)
