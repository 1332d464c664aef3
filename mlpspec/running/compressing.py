"""Compressing the trained networks of a batch, as the setting ``compress`` of its runs says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from mlpspec.arrays import Array
from mlpspec.compress import COMPRESSIONS, NONE, Compression, count_kept, taught
from mlpspec.data.spec import build
from mlpspec.losses.objective import Objective
from mlpspec.network.neurons import Params
from mlpspec.study.problem import domain_of, start_of, stream_of
from mlpspec.study.run import Run
from mlpspec.training.trainer import Trained, train


def uncompressed(run: Run) -> Run:
    """Return the run that trains the network which ``run`` compresses; itself if it does not.

    Examples
    --------
    >>> uncompressed(Run(compress="quantise(4)")) == Run()
    True
    """
    return run if run.compress == NONE else replace(run, compress=NONE)


@np.errstate(all="ignore")
def compress(
    runs: Sequence[Run],
    rows: Sequence[int],
    trained: Trained,
    x: Array,
    y: Array,
    descent: Mapping[str, Any],
) -> tuple[list[Array], list[bool]]:
    """Return the parameters (P,) of each run, compressed, and whether it diverged.

    A run that diverged while it trained is left as it is. A student is trained by the same rule,
    for as many steps, at the same rates, and by the fit alone: without losses, perturbations and
    early stopping. If it diverges, so has the run.

    Parameters
    ----------
    runs : sequence of Run
    rows : sequence of int
        The row of each among what was trained, ``trained``, ``x`` (R, N, D) and ``y`` (R, N).
    trained : Trained
    x : (R, N, D)
    y : (R, N)
    descent : mapping
        How students are trained: arguments of `mlpspec.train`.
    """
    flat = trained.params.flatten()
    found, diverged = [flat[row] for row in rows], [bool(trained.diverged[row]) for row in rows]
    students: dict[Compression, list[int]] = {}
    for place, (run, row) in enumerate(zip(runs, rows, strict=True)):
        compression: Compression = build(run.compress, COMPRESSIONS, "compress")
        if diverged[place] or run.compress == NONE:
            continue
        if compression.student:
            students.setdefault(compression, []).append(place)
            continue
        one, drawing = slice(row, row + 1), partial(stream_of, run, "pruning")
        left = compression.apply(trained.params.rows([row]), x[one], y[one], drawing)
        found[place] = left.flatten()[0]
    for compression, places in students.items():
        mine = [rows[place] for place in places]
        teachers = trained.params.rows(mine)
        those = [runs[place] for place in places]
        ends = _students(those, compression, teachers, x[mine], y[mine], descent)
        for place, params, lost in zip(places, ends.params.flatten(), ends.diverged, strict=True):
            found[place], diverged[place] = params, bool(lost)
    return found, diverged


def _students(
    runs: Sequence[Run],
    compression: Compression,
    teachers: Params,
    x: Array,
    y: Array,
    descent: Mapping[str, Any],
) -> Trained:
    """Train the students of some runs, or those of their null on the data themselves."""
    _, n_samples, n_inputs = x.shape
    width = count_kept(teachers.shape[1], compression.keep)
    narrower = [replace(run, n_hidden=width, compress=NONE) for run in runs]
    starts = [
        start_of(run, data, stream_of(run, "student"))
        for run, data in zip(narrower, x, strict=True)
    ]
    if compression.name == "distil":
        count = compression.more * n_samples
        others = [
            domain_of(run).draw(stream_of(run, "student inputs"), count, n_inputs) for run in runs
        ]
        x = np.concatenate([x, np.stack(others).astype(x.dtype)], axis=1)
        y = taught(teachers, x)
    start = teachers.unflatten(np.stack(starts), n_inputs)
    return train(Objective(), start, x, y, **descent)
