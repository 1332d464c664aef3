"""How long the training of a study will take, from a few steps of each kind of batch."""

from __future__ import annotations

import time
from dataclasses import replace

from mlpspec.network.blocks import load_compiled
from mlpspec.running.planning import Batch
from mlpspec.running.worker import Extensions, train_batch
from mlpspec.study.study import Study

SLOW = 0.2
"""Seconds of a probe of one step after which no others are made."""


def estimate(study: Study, batches: list[Batch], n_jobs: int) -> float:
    """Return about how many seconds the batches will take here, from a few steps of each kind."""
    rates: dict[tuple[int, int, int, int], tuple[float, float]] = {}
    seconds = []
    losses = study.own_losses
    for batch in batches:
        run = batch[0]
        shape = (run.n_samples, run.hidden_units, run.n_inputs, len(batch))
        if shape not in rates:
            rates[shape] = _rates(batch, losses)
        step, once = rates[shape]
        seconds.append(step * run.steps + once)
    return 1.0 + max(sum(seconds) / n_jobs, max(seconds, default=0.0))


def _rates(batch: Batch, losses: Extensions) -> tuple[float, float]:
    """Return about how many seconds a step of a batch takes, and what comes once."""
    load_compiled(batch[0].dtype, all_of_it=True)  # takes longer than many steps, once
    first = _probe(batch, losses, 1)
    if first > SLOW:  # a step is then most of it, and more of them would try the patience
        return first / 2, 0.0
    # The difference of two probes is training alone, the rest is spent once a run. The least of
    # three is the one that other programs disturbed least.
    few, more = (min(_probe(batch, losses, steps) for _ in range(3)) for steps in (10, 60))
    step = max(more - few, 0.0) / 50
    return step, max(few - 10 * step, 0.0)


def _probe(batch: Batch, losses: Extensions, steps: int) -> float:
    short = tuple(replace(run, steps=steps, record_every=0) for run in batch)
    began = time.perf_counter()
    train_batch(short, losses)
    return time.perf_counter() - began
