"""Training a batch: from the descriptions of its runs to what is kept of them."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mlpspec.arrays import Array
from mlpspec.losses import StructuralLoss
from mlpspec.metrics.measure import measure
from mlpspec.network.forward import Forward, respond
from mlpspec.network.neurons import NEURONS
from mlpspec.running.planning import Batch, memory
from mlpspec.store.store import Record
from mlpspec.study.problem import Tables, data_of, domain_of, losses_of, objective_of, start_of
from mlpspec.study.run import Run, affecting
from mlpspec.training.optimizers import OPTIMIZERS
from mlpspec.training.trainer import Trained, train

Extensions = Mapping[str, StructuralLoss]
"""Losses of one's own by name."""

PROBLEM = affecting("data", "start")
"""Settings in which runs with the same data and start are equal."""

NONE: Extensions = MappingProxyType({})


def train_batch(
    batch: Batch,
    extensions: Extensions = NONE,
    tables: Tables | None = None,
    engine: str = "auto",
) -> list[Record]:
    """Train and measure the runs of a batch; files that are not among ``tables`` are read.

    Whoever started the study chose the ``engine`` (`mlpspec.training.engine.choose`). If a batch
    raises, each run is tried alone, so that only the guilty ones fail.
    """
    try:
        with threadpool_limits(limits=1, user_api="blas"):  # on more threads bits would differ
            return _train_together(batch, extensions, tables, engine)
    except (Exception, SystemExit):  # a loss of a user may raise anything
        if len(batch) == 1:
            return [Record(batch[0], "failed", error=traceback.format_exc())]
        return [
            record for run in batch for record in train_batch((run,), extensions, tables, engine)
        ]


def _train_together(
    batch: Batch, extensions: Extensions, tables: Tables | None, engine: str
) -> list[Record]:
    began = time.perf_counter()
    first = batch[0]
    _check_memory(first)
    problems: dict[Any, tuple[Array, Array, Array]] = {}
    keys = [_problem(run) for run in batch]
    for key, run in zip(keys, batch, strict=True):
        if key not in problems:
            problems[key] = (*data_of(run, tables), start_of(run))
    prepared = [problems[key] for key in keys]
    x = np.stack([x for x, _, _ in prepared])
    y = np.stack([y for _, y, _ in prepared])
    flat = np.stack([flat for _, _, flat in prepared])
    kind = NEURONS[first.neuron]
    start = kind.unflatten(flat, first.n_inputs)
    losses = [losses_of(run, extensions) for run in batch]

    def start_at(row: int) -> Forward:
        one = slice(row, row + 1)
        return respond(kind.unflatten(flat[one], first.n_inputs), x[one], y[one])

    objectives = [
        objective_of(run, known, partial(start_at, row))
        for row, (run, known) in enumerate(zip(batch, losses, strict=True))
    ]
    trained = train(
        objectives,
        start,
        x,
        y,
        steps=first.steps,
        optimizer=OPTIMIZERS[first.optimizer](first.learning_rate),
        record_every=first.record_every,
        engine=engine,
    )
    flat = trained.params.flatten()
    measured = _measured(batch, trained, x, y, losses)
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


def _problem(run: Run) -> tuple[Any, ...]:
    """Return what data and start follow from."""
    return tuple(getattr(run, name) for name in PROBLEM)


def _measured(
    batch: Batch, trained: Trained, x: Array, y: Array, losses: list[dict[str, StructuralLoss]]
) -> list[dict[str, float]]:
    """Return the measurements of each run; those with the same losses are measured together."""
    alike: dict[Any, list[int]] = {}
    for r, run in enumerate(batch):
        alike.setdefault((domain_of(run).width, *losses[r].items()), []).append(r)
    flat = trained.params.flatten()
    measured: list[dict[str, float]] = [{}] * len(batch)
    for (width, *own), members in alike.items():
        rows = np.array(members)
        params = type(trained.params).unflatten(flat[rows], x.shape[2])
        columns = measure(params, x[rows], y[rows], width=width, losses=dict(own))
        columns["gradient_norm"] = trained.gradient_norm[rows]
        columns["steps_taken"] = trained.steps[rows]
        for place, r in enumerate(rows):
            measured[r] = {name: value[place].item() for name, value in columns.items()}
    return measured


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


def _curve(curve: Any) -> dict[str, Array]:
    return {"steps": curve.steps, "params": curve.params.flatten(), **curve.values}
