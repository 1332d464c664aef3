"""Training a batch: from the descriptions of its runs to what is kept of them.

What else a worker needs travels as bytes: users' losses, files that are read, the engine.
"""

from __future__ import annotations

import io
import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, cast

import cloudpickle
import numpy as np
from threadpoolctl import threadpool_limits

from mlpspec.arrays import Array
from mlpspec.compress import NONE
from mlpspec.data.held import HELD
from mlpspec.data.spec import build
from mlpspec.errors import InputError, is_interrupt, one_line
from mlpspec.losses import StructuralLoss
from mlpspec.metrics.measure import measure
from mlpspec.network.forward import Forward
from mlpspec.network.neurons import neuron_of
from mlpspec.running.compressing import compressed, uncompressed
from mlpspec.running.planning import Batch
from mlpspec.store.store import Record
from mlpspec.study.extensions import Source, code_of, run_source, source_of
from mlpspec.study.problem import (
    Tables,
    data_of,
    domain_of,
    losses_of,
    objective_of,
    start_of,
    stream_of,
)
from mlpspec.study.run import PROBLEM
from mlpspec.study.study import Study
from mlpspec.training.engine import prepare
from mlpspec.training.moments import moments
from mlpspec.training.optimizers import OPTIMIZERS
from mlpspec.training.perturbation import PERTURBED, Perturbation
from mlpspec.training.schedules import SCHEDULES
from mlpspec.training.stopping import STOPPINGS
from mlpspec.training.trainer import Trained, train

Extensions = Mapping[str, StructuralLoss]
"""Losses of one's own by name."""

_unpacked: dict[bytes, tuple[Extensions, Tables, str]] = {}
"""What the last payload of this process holds: a worker needs it for every batch, and cloudpickle
would change the classes that it loads where they were defined."""


def pack(study: Study, tables: Tables, engine: str) -> bytes:
    """Return as bytes what workers need: users' losses, tables of files, networks, the engine.

    Raises
    ------
    InputError
        A loss that workers could not be given.
    """
    losses = study.own_losses
    found = study.held & HELD.keys()
    networks = {content: HELD[content] for content in found if ":" in content}  # others: `tables`
    payload = cast(bytes, cloudpickle.dumps((portable(losses), tables, networks, engine)))
    _unpacked.clear()  # files may be large
    _unpacked[payload] = (losses, tables, engine)
    return payload


def portable(losses: Extensions) -> tuple[list[Source], bytes, dict[str, str]]:
    """Return what workers need to have the losses, and to know that they have the same ones.

    A file that `--loss` ran is run there under the same name. Other modules that a loss uses travel
    by value or, where one of them holds what cannot, are all imported there.

    Returns
    -------
    sources : list of Source
        The files to run.
    content : bytes
        The losses, pickled.
    digests : dict of str to str
        Of those losses that workers run or import.

    Raises
    ------
    InputError
        Something that a loss uses cannot travel, such as a lock or an open file.

    Examples
    --------
    >>> from mlpspec.losses import Coverage
    >>> sources, content, digests = portable({"soft": Coverage(0.5)})
    >>> sources, cloudpickle.loads(content), digests
    ([], {'soft': Coverage(temperature=0.5)}, {'soft': 'mlpspec'})
    """
    found = [code_of(type(loss)) for loss in losses.values()]
    sources = [source for each, _ in found for source in each]
    used = {module for _, modules in found for module in modules}
    fault: BaseException = InputError()
    for modules in (used, set[ModuleType]()):
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
        try:
            content = io.BytesIO()
            _Pickler(content).dump(dict(losses))
            by_value = {"__main__", *(module.__name__ for module in modules)}
            digests = {
                name: source_of(type(loss))
                for name, loss in losses.items()
                if type(loss).__module__ not in by_value
            }
            return sources, content.getvalue(), digests
        except Exception as error:
            fault = error
        finally:
            for module in modules:
                cloudpickle.unregister_pickle_by_value(module)
    raise InputError(
        f"{' and '.join(losses)} cannot be given to workers ({one_line(fault)}); define it in a "
        "file of its own, and give that with --loss or import it"
    )


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
    """Takes functions under `functools.lru_cache` along by value, where others would be."""

    def reducer_override(self, thing: Any) -> Any:
        by_value = {"__main__", *cloudpickle.list_registry_pickle_by_value()}
        if isinstance(thing, _Cached) and thing.__module__ in by_value:
            return _cached, (thing.__wrapped__, thing.cache_parameters())
        return super().reducer_override(thing)


def _cached(function: Any, parameters: dict[str, Any]) -> Any:
    return lru_cache(**parameters)(function)


_Cached = type(lru_cache(len))


def train_packed(payload: bytes, batch: Batch) -> list[Record]:
    """Train a batch with what was packed; no runs are a test of whether a worker lives."""
    if not batch:
        return []
    unpacked = _unpacked.get(payload)
    if unpacked is None:
        unpacked = _unpack(payload)
        _unpacked.clear()
        _unpacked[payload] = unpacked
    return train_batch(batch, *unpacked)


def _unpack(payload: bytes) -> tuple[Extensions, Tables, str]:
    try:
        (sources, content, digests), tables, networks, engine = cloudpickle.loads(payload)
        HELD.update(networks)
        for source in sources:
            run_source(source)
        losses = cloudpickle.loads(content)
        others = [name for name in digests if source_of(type(losses[name])) != digests[name]]
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise InputError(
            f"a worker cannot load the losses: {one_line(error)}; what they import, and the files "
            "that they read, must be there too"
        ) from None
    if others:
        raise InputError(
            f"a worker that imports the loss {others[0]} has other code, files or values for it; "
            "do not change them after they are loaded"
        )
    return losses, tables, engine


def train_batch(
    batch: Batch,
    extensions: Extensions | None = None,
    tables: Tables | None = None,
    engine: str = "auto",
) -> list[Record]:
    """Train and measure the runs of a batch; files that are not among ``tables`` are read.

    Whoever started the study chose the ``engine`` (`mlpspec.training.engine.choose`). If a batch
    raises, each run is tried alone, so that only the guilty ones fail.

    Raises
    ------
    InputError
        The compiled engine does not work here: no run is guilty of that.
    """
    if engine == "compiled":
        prepare()
    try:
        with threadpool_limits(limits=1, user_api="blas"):  # on more threads bits would differ
            return _train_together(batch, extensions, tables, engine)
    except BaseException as error:  # a loss of a user may raise anything
        if is_interrupt(error):
            raise
        if len(batch) == 1:
            told, last = traceback.format_exc().rstrip(), one_line(error)
            # The last line says what went wrong, also where the message has many or none.
            told = told if told.endswith(last) else f"{told}\n{last}"
            return [Record(batch[0], "failed", error=f"{told}\n")]
        return [
            record for run in batch for record in train_batch((run,), extensions, tables, engine)
        ]


def _train_together(
    batch: Batch, extensions: Extensions | None, tables: Tables | None, engine: str
) -> list[Record]:
    began = time.perf_counter()
    first = batch[0]
    # Runs that differ in what is done to the trained network share its training.
    bare = [uncompressed(run) for run in batch]
    numbers = {run: row for row, run in enumerate(dict.fromkeys(bare))}
    rows, alone = [numbers[run] for run in bare], [*numbers]
    _check_memory(tuple(alone))
    keys = [tuple(getattr(run, name) for name in PROBLEM) for run in alone]
    described = dict(zip(keys, alone, strict=True))
    data = {key: data_of(run, tables) for key, run in described.items()}
    problems = {key: (*data[key], start_of(run, data[key][0])) for key, run in described.items()}
    x, y, flat = (np.stack(arrays) for arrays in zip(*(problems[key] for key in keys), strict=True))
    kind = neuron_of(first.neuron)
    start = kind.unflatten(flat, first.n_inputs)
    losses = [losses_of(run, extensions) for run in alone]

    def start_at(row: int) -> Forward:
        one = slice(row, row + 1)
        return Forward(kind.unflatten(flat[one], first.n_inputs), x[one], y[one])

    objectives = [
        objective_of(run, known, partial(start_at, row))
        for row, (run, known) in enumerate(zip(alone, losses, strict=True))
    ]
    rate = first.learning_rate
    early_stopping, held_out = build(first.early_stopping, STOPPINGS, "early_stopping"), None
    if early_stopping.watched == "held_out":
        others = [data_of(run, tables, held_out=True) for run in alone]
        held_out = np.stack([a for a, _ in others]), np.stack([b for _, b in others])
    descent = {
        "steps": first.steps,
        "optimizer": build(first.optimizer, OPTIMIZERS, "optimizer", learning_rate=rate),
        "schedule": build(first.schedule, SCHEDULES, "schedule"),
        "warmup": first.warmup,
        "engine": engine,
    }
    trained = train(
        objectives,
        start,
        x,
        y,
        **descent,
        losses_from=first.losses_from,
        losses_until=first.losses_until,
        early_stopping=early_stopping,
        held_out=held_out,
        perturbation=Perturbation(**{name: getattr(first, name) for name in PERTURBED}),
        streams=[partial(stream_of, run) for run in alone],
        record_every=first.record_every,
        record=first.record,
    )
    records = _ended(batch, rows, trained, x, y, losses, descent)
    seconds = (time.perf_counter() - began) / len(batch)
    return [replace(r, measurements={**r.measurements, "seconds": seconds}) for r in records]


def _ended(
    batch: Batch,
    rows: list[int],
    trained: Trained,
    x: Array,
    y: Array,
    losses: list[dict[str, StructuralLoss]],
    descent: Mapping[str, Any],
) -> list[Record]:
    """Compress and measure what was trained, of each run in one of the ``rows``.

    Runs with the same losses that are compressed alike go together. One that diverged while it
    trained is left as it is; if its student diverges, so has the run.
    """
    alike: dict[Any, list[int]] = {}
    for place, (run, row) in enumerate(zip(batch, rows, strict=True)):
        how = NONE if trained.diverged[row] else run.compress
        apart = place if how.startswith("prune_unused") else None  # which leaves any number
        same = how, apart, domain_of(run).width, *losses[row].items()
        alike.setdefault(same, []).append(place)
    found: dict[int, Record] = {}
    for (how, _, width, *own), places in alike.items():
        mine, runs = [rows[place] for place in places], [batch[place] for place in places]
        params, lost = compressed(how, runs, trained.params.rows(mine), x[mine], y[mine], descent)
        columns = measure(params, x[mine], y[mine], width=width, losses=dict(own))
        columns["gradient_norm"] = trained.gradient_norm[mine]
        columns["steps_taken"] = trained.steps[mine]
        flat, diverged = params.flatten(), trained.diverged[mine] | lost
        for i, (place, row, run) in enumerate(zip(places, mine, runs, strict=True)):
            numbers = {name: value[i].item() for name, value in columns.items()}
            numbers |= {} if run.compress == NONE else {"neurons_left": params.shape[1]}
            curve = _curve(trained.curves[row]) if trained.curves else None
            status = "diverged" if diverged[i] else "ok"
            found[place] = Record(run, status, x[row], y[row], flat[i], numbers, curve)
    return [found[place] for place in range(len(batch))]


def _check_memory(batch: Batch) -> None:
    """Raise before a system that promises more memory than it has must kill someone for it."""
    if not hasattr(os, "sysconf"):  # Windows promises no more than it has
        return
    run = batch[0]
    n, k, d = run.n_samples, run.hidden_units, run.n_inputs
    steps, every = run.steps, run.record_every
    size = np.dtype(run.dtype).itemsize
    theta = k * (d + 2) + 1
    recorded = steps // every + 2 if every else len(moments(steps, 0, run.record))
    # At the least: the rates of the steps, as an array and as numbers; the responses of one run; of
    # each, its data, the parameters with gradient and moments, and each record in two arrays.
    needed = 40 * steps + (3 * n * k + k * k) * size
    needed += len(batch) * ((n * (d + 1) + 6 * theta) * size + recorded * (2 * theta * size + 500))
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > here:
        told: dict[str, Any] = {"n_samples": n, "n_hidden": k, "n_inputs": d, "steps": steps}
        told |= {"record": run.record} if run.record == "log" else {"record_every": every}
        what = "a run" if len(batch) == 1 else f"a batch of {len(batch)} runs"
        raise MemoryError(
            f"{what} with {', '.join(f'{name}={value}' for name, value in told.items())} needs "
            f"{needed / 2**30:.3g} GiB; this machine has {here / 2**30:.3g} GiB"
        )


def _curve(curve: Any) -> dict[str, Array]:
    return {"steps": curve.steps, "params": curve.params.flatten(), **curve.values}
