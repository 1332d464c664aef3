"""Training in worker processes on this machine, which joblib starts."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import BrokenExecutor
from functools import cache, partial
from itertools import chain, islice
from multiprocessing import current_process
from typing import Any, cast

import joblib

from mlpspec.errors import KILLED, InputError, WorkerLostError
from mlpspec.running.planning import Batch
from mlpspec.running.signals import unreachable_by_ctrl_c
from mlpspec.running.surroundings import open_standard_streams, safe_path
from mlpspec.running.worker import train_packed
from mlpspec.store.store import Record

logger = logging.getLogger(__name__)

Work = Callable[[int, Batch], tuple[int, list[Record]]]
"""What a worker does with a batch; the number says which batch the records are of."""

Attempt = Callable[[list[Batch]], Generator[list[Record], None, list[Batch]]]
"""Gives the records of batches, and returns the batches whose workers were killed."""


def count_jobs(n_jobs: int) -> int:
    """Return the number of workers; -1 means one per processor.

    Raises
    ------
    InputError
        It is no whole number, or below 1 and not -1.

    Examples
    --------
    >>> count_jobs(2), count_jobs(-1) >= 1
    (2, True)
    """
    if type(n_jobs) is not int:
        raise InputError(f"jobs is {n_jobs!r}; it must be a whole number")
    if n_jobs == -1:
        return int(joblib.cpu_count())
    if n_jobs < 1:
        raise InputError(f"jobs is {n_jobs}; it must be at least 1, or -1 for all processors")
    return n_jobs


def train_batches(payload: bytes, n_jobs: int, batches: list[Batch]) -> Generator[list[Record]]:
    """Train batches in workers of joblib, as `mlpspec.running.runner` says.

    A batch whose worker was killed is tried again when all others are done, then run by run.
    """
    open_standard_streams()
    with safe_path():
        yield from in_attempts(
            partial(_attempt, partial(_work, payload, os.getpid()), n_jobs), batches, whole=2
        )


def in_attempts(attempt: Attempt, batches: list[Batch], whole: int) -> Generator[list[Record]]:
    """Train batches in attempts: whole, so many times, then run by run; what is killed alone fails.

    Raises
    ------
    WorkerLostError
        A worker is killed though it has nothing to do.
    """
    for _ in range(whole):
        batches = yield from attempt(batches)
    for run in chain.from_iterable(batches):
        if (yield from attempt([(run,)])):
            if (yield from attempt([()])):
                raise WorkerLostError("every worker is killed, even one that has nothing to do")
            yield [Record(run, "failed", error=KILLED)]


def _attempt(
    work: Work, n_jobs: int, batches: list[Batch]
) -> Generator[list[Record], None, list[Batch]]:
    """Train batches; return those that a killed worker was training."""
    pending = dict(enumerate(batches))
    lost: list[Batch] = []
    while pending:
        sent: list[int] = []
        # Alone, a batch would be trained in this very process, which nothing must kill.
        tasks, count = _tasks(work, pending, sent), min(n_jobs, max(2, len(pending)))
        try:
            finished = _parallel(tasks, count)
            try:
                yield []
                for number, records in finished:
                    del pending[number]
                    yield records
            finally:
                with warnings.catch_warnings(action="ignore"):  # joblib's, of what it gives up
                    finished.close()
        except BrokenExecutor:
            back = [pending.pop(number) for number in sent if number in pending]
            count = sum(map(len, back))
            logger.warning("a worker was killed; %d runs were not finished with it", count)
            lost += back
    return lost


def _tasks(work: Work, pending: dict[int, Batch], sent: list[int]) -> Iterator[Any]:
    for number, batch in list(pending.items()):
        sent.append(number)
        yield joblib.delayed(work)(number, batch)


def _parallel(tasks: Iterator[Any], n_jobs: int) -> Generator[tuple[int, list[Record]]]:
    """Start tasks on the backend that the caller configured; return results as they come."""
    parallel = partial(joblib.Parallel, n_jobs, batch_size=1)
    try:
        unordered = parallel(return_as="generator_unordered")
    except ValueError:  # this backend returns all results at once; a few at a time, then
        return _by_some(parallel(), tasks, 4 * n_jobs)
    with unreachable_by_ctrl_c() if n_jobs > 1 else contextlib.nullcontext():
        return cast(Generator[tuple[int, list[Record]]], unordered(tasks))


def _by_some(
    together: joblib.Parallel, tasks: Iterator[Any], count: int
) -> Generator[tuple[int, list[Record]]]:
    while some := list(islice(tasks, count)):
        yield from together(some)


def _work(payload: bytes, owner: int, number: int, batch: Batch) -> tuple[int, list[Record]]:
    _end_with(owner)
    return number, train_packed(payload, batch)


@cache
def _end_with(owner: int) -> None:
    """Make a worker process of joblib's default backend end with the process that started it.

    That process may itself be such a worker, of a caller who runs several studies side by side.
    """
    if os.getpid() == owner or not current_process().name.startswith("LokyProcess"):
        return  # the owner itself, or a worker of a backend that ends its workers

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
