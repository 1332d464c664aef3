"""What travels to the workers beside the runs: users' losses, files that are read, the engine."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import cloudpickle

from mlpspec.running.planning import Batch
from mlpspec.running.worker import Extensions, train_batch
from mlpspec.store.store import Record
from mlpspec.study.extensions import code_of
from mlpspec.study.problem import Tables
from mlpspec.study.study import Study


def pack(study: Study, tables: Tables, engine: str) -> bytes:
    """Return the users' losses of a study, the files it draws from and the engine as bytes.

    Classes travel by value: a file that `--loss` ran is no module that a worker could import.
    """
    losses = study.own_losses
    modules = {module for loss in losses.values() for module in code_of(type(loss))}
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cast(bytes, cloudpickle.dumps((losses, tables, engine)))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


@lru_cache(maxsize=1)  # a worker outlives its study, and files may be large
def _unpack(payload: bytes) -> tuple[Extensions, Tables, str]:
    return cast(tuple[Extensions, Tables, str], cloudpickle.loads(payload))


def train_packed(payload: bytes, batch: Batch) -> list[Record]:
    """Train a batch with what was packed; no runs are a test of whether a worker lives."""
    return train_batch(batch, *_unpack(payload)) if batch else []
