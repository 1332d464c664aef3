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

SLOW = 0.2
"""Seconds of a probe of one step after which no others are made."""


def estimate(study: Study, batches: list[Batch], n_jobs: int, engine: str) -> float:
    """Return about how many seconds the batches will take here, from a few steps of each shape."""
    rates: dict[tuple[int, int, int, int], tuple[float, float]] = {}
    seconds = []
    probe = partial(_probe, study.own_losses, engine)
    if engine == "compiled":  # to compile takes longer than many steps, once
        with deferred():
            engines.prepare([run for batch in batches for run in batch])
    for batch in batches:
        run = batch[0]
        shape = (run.n_samples, run.hidden_units, run.n_inputs, len(batch))
        if shape not in rates:
            rates[shape] = _rates(partial(probe, batch))
        step, once = rates[shape]
        seconds.append(step * run.steps + once)
    return 1.0 + max(sum(seconds) / n_jobs, max(seconds, default=0.0))


def _rates(probe: Callable[[int], float]) -> tuple[float, float]:
    """Return about how many seconds a step of a batch takes, and what comes once."""
    first = probe(1)
    if first > SLOW:  # a step is then most of it, and more of them would take too long
        return first / 2, 0.0
    # The difference of two probes is training alone, the rest is spent once a run. The least of
    # three is the one that other programs disturbed least.
    few, more = (min(probe(steps) for _ in range(3)) for steps in (10, 60))
    step = max(more - few, 0.0) / 50
    return step, max(few - 10 * step, 0.0)


def _probe(extensions: Extensions, engine: str, batch: Batch, steps: int) -> float:
    short = tuple(replace(run, steps=steps, record_every=0) for run in batch)
    began = time.perf_counter()
    train_batch(short, extensions, engine=engine)
    return time.perf_counter() - began
