"""Compressing the trained networks of a batch, as the setting ``compress`` of its runs says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
def compressed(
    how: str,
    runs: Sequence[Run],
    params: Params,
    x: Array,
    y: Array,
    descent: Mapping[str, Any],
) -> tuple[Params, NDArray[np.bool_]]:
    """Return the networks of R runs, compressed, and (R,) whether it is a student that diverged.

    A student is trained by the same rule, for as many steps, at the same rates, and by the fit
    alone: without losses, perturbations and early stopping.

    Parameters
    ----------
    how : str
        As the setting ``compress`` says it.
    runs : sequence of Run
    params : RidgeParams or RadialParams
    x : (R, N, D)
    y : (R, N)
    descent : mapping
        How students are trained: arguments of `mlpspec.train`.
    """
    compression: Compression = build(how, COMPRESSIONS, "compress")
    if compression.student:
        ends = _students(runs, compression, params, x, y, descent)
        return ends.params, ends.diverged
    streams = [stream_of(run, "pruning") for run in runs]
    return compression.apply(params, x, y, streams), np.zeros(len(runs), dtype=bool)


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
