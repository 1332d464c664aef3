"""How long the training of a study will take, from a few steps of each shape of batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from mlpspec.running.planning import Batch
from mlpspec.running.signals import deferred
from mlpspec.running.worker import Extensions, train_batch
from mlpspec.study.study import Study
from mlpspec.training import engine as engines

LONG = 0.05
"""Seconds of training in a probe beside which the noise of a clock is small."""

ONCE, START = 0.3, 1.0
"""Seconds that a study takes besides, about: in this process for its store and tables, or with
workers until they have loaded their modules."""


def estimate(study: Study, batches: list[Batch], n_jobs: int, engine: str) -> float:
    """Return about how many seconds the batches will take here, from a few steps of each shape."""
    rates: dict[tuple[int, int, int, int], tuple[float, float]] = {}
    seconds = []
    if engine == "compiled":  # to compile takes longer than many steps, once
        with deferred():
            engines.prepare([run for batch in batches for run in batch])
    for batch in batches:
        run = batch[0]
        shape = (run.n_samples, run.hidden_units, run.n_inputs, len(batch))
        if shape not in rates:
            rates[shape] = _rates(partial(_probe, study.own_losses, engine, batch), run.steps)
        step, once = rates[shape]
        seconds.append(step * run.steps + once)
    return max(sum(seconds) / n_jobs, max(seconds)) + (START if n_jobs > 1 else ONCE)


def _rates(probe: Callable[[int], float], most: int) -> tuple[float, float]:
    """Return about how many seconds a step of a batch takes, and what comes once."""
    once = probe(1)
    if once > 4 * LONG:  # it is most of it, and more of them would take too long
        return once / 2, 0.0
    once = min(once, probe(1), probe(1))  # least disturbed, by other programs and by loading
    steps, seconds = 1, once
    while seconds < once + LONG and steps < most:
        steps = min(4 * steps, most)
        seconds = probe(steps)
    return max(seconds - once, 0.0) / steps, once


def _probe(extensions: Extensions, engine: str, batch: Batch, steps: int) -> float:
    short = tuple(replace(run, steps=steps, record_every=0) for run in batch)
    began = time.perf_counter()
    train_batch(short, extensions, engine=engine)
    return time.perf_counter() - began
