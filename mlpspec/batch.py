"""Training a batch: from the descriptions of its runs to what is kept of them."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mlpspec.blocks import Array
from mlpspec.losses import StructuralLoss
from mlpspec.metrics import measure
from mlpspec.model import NEURONS, Forward
from mlpspec.optimizers import OPTIMIZERS
from mlpspec.planning import Batch, memory
from mlpspec.problem import Tables, data_of, domain_of, losses_of, objective_of, start_of
from mlpspec.store import Record
from mlpspec.study import Run
from mlpspec.training import train

Extensions = Mapping[str, StructuralLoss]
"""Losses of one's own by name."""

NONE: Extensions = MappingProxyType({})


def train_batch(
    batch: Batch, extensions: Extensions = NONE, tables: Tables | None = None
) -> list[Record]:
    """Train and measure the runs of a batch; files that are not among ``tables`` are read.

    If that raises, each run is tried alone, so that only the guilty ones fail.
    """
    try:
        with threadpool_limits(limits=1, user_api="blas"):  # on more threads bits would differ
            return _train_together(batch, extensions, tables)
    except (Exception, SystemExit):  # a loss of a user may raise anything
        if len(batch) == 1:
            return [Record(batch[0], "failed", error=traceback.format_exc())]
        return [record for run in batch for record in train_batch((run,), extensions, tables)]


def _train_together(batch: Batch, extensions: Extensions, tables: Tables | None) -> list[Record]:
    began = time.perf_counter()
    first = batch[0]
    _check_memory(first)
    prepare = cache(lambda run: (*data_of(run, tables), start_of(run)))
    bare: dict[str, Any] = {"losses": (), "definitions": (), "weight": 0.0, "temperature": 1.0}
    prepared = [prepare(replace(run, **bare)) for run in batch]
    x = np.stack([x for x, _, _ in prepared])
    y = np.stack([y for _, y, _ in prepared])
    flat = np.stack([flat for _, _, flat in prepared])
    start = NEURONS[first.neuron].unflatten(flat, first.n_inputs)
    losses = [losses_of(run, extensions) for run in batch]
    objectives = [
        objective_of(run, known, Forward(start.take(row), x[row], y[row]))
        for run, known, row in zip(batch, losses, _rows(batch), strict=True)
    ]
    trained = train(
        objectives,
        start,
        x,
        y,
        steps=first.steps,
        optimizer=OPTIMIZERS[first.optimizer](first.learning_rate),
        record_every=first.record_every,
    )
    flat = trained.params.flatten()
    measured: list[dict[str, float]] = []
    for r, (run, row) in enumerate(zip(batch, _rows(batch), strict=True)):
        columns = measure(
            trained.params.take(row),
            x[row],
            y[row],
            width=domain_of(run).width,
            losses=losses[r],
        )
        columns["gradient_norm"] = trained.gradient_norm[row]
        columns["steps_taken"] = trained.steps[row]
        measured.append({name: value[0].item() for name, value in columns.items()})
    seconds = (time.perf_counter() - began) / len(batch)
    return [
        Record(
            run,
            "diverged" if trained.diverged[r] else "ok",
            x[r],
            y[r],
            flat[r],
            {**measured[r], "seconds": seconds},
            _curve(trained.curves[r]) if trained.curves else None,
        )
        for r, run in enumerate(batch)
    ]


def _check_memory(run: Run) -> None:
    """Raise before a system that promises more memory than it has must kill someone for it."""
    if not hasattr(os, "sysconf"):  # Windows promises no more than it has
        return
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory(run) > here:
        raise MemoryError(
            f"a run with n_samples={run.n_samples}, n_hidden={run.hidden_units}, "
            f"n_inputs={run.n_inputs}, steps={run.steps}, record_every={run.record_every} needs "
            f"{memory(run) / 2**30:.3g} GiB; this machine has {here / 2**30:.3g} GiB"
        )


def _rows(batch: Batch) -> list[slice]:
    return [slice(r, r + 1) for r in range(len(batch))]


def _curve(curve: Any) -> dict[str, Array]:
    return {"steps": curve.steps, "params": curve.params.flatten(), **curve.values}
