"""Running a study: plan, train in parallel, store. The only module that knows joblib."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from functools import cache, lru_cache
from multiprocessing import current_process
from pathlib import Path
from typing import cast

import cloudpickle
import joblib

from mlpspec import provenance
from mlpspec.batch import Extensions, train_batch
from mlpspec.errors import InputError, WorkerLostError
from mlpspec.extensions import code_of
from mlpspec.planning import Batch, plan, work
from mlpspec.problem import Tables, read_tables
from mlpspec.results import DERIVED, Results
from mlpspec.store import FILE_NAME, Record, Store
from mlpspec.study import Run, Study

try:
    import fcntl
except ImportError:  # Windows has no flock; SQLite's own locks still keep the store whole.
    fcntl = None  # type: ignore[assignment]


def run_study(
    study: Study,
    out: str | os.PathLike[str] | None = None,
    n_jobs: int = -1,
    *,
    batch_size: int | None = None,
    fail_fast: bool = False,
    progress: bool = False,
    command: Sequence[str] = (),
) -> Results:
    """Train the runs of a study that its results directory lacks; return the results.

    The same study gives the same bits for any number of workers and any batch size, interrupted
    or not. Each batch is stored as soon as it is finished, so that an interrupted study goes on
    where it stopped when it is run again.

    Parameters
    ----------
    study : Study
    out : path, optional
        Results directory; by default ``runs/NAME``.
    n_jobs : int
        Worker processes; -1 is one per processor. joblib's backend is the caller's choice
        (``joblib.parallel_config``).
    batch_size : int, optional
        The most runs that train together; by default what suits the cache.
    fail_fast : bool
        Stop at the first run that fails.
    progress : bool
        Show progress on stderr: a bar on a terminal, plain lines elsewhere.
    command : sequence of str
        Noted in the provenance.

    Raises
    ------
    ValueError
        A number out of its limits, or a directory that cannot be used: not writable, in use,
        damaged, of another study or with other settings.
    WorkerLostError
        A worker process was killed.
    """
    n_jobs = count_jobs(n_jobs)
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; it must be at least 1")
    directory = Path("runs") / study.name if out is None else Path(out)
    missing = missing_runs(study, directory)
    if missing:
        batches = plan(missing, n_jobs, batch_size)
        with _held(directory), _opened(study, directory) as store:
            try:
                _train_all(study, store, batches, n_jobs, fail_fast, progress, command)
            finally:
                Results(directory).write_tables()
    results = Results(directory)
    if not all((directory / name).exists() for name in DERIVED):
        results.write_tables()
    return results


def count_jobs(n_jobs: int) -> int:
    """Return the number of workers; -1 means one per processor."""
    if not isinstance(n_jobs, int):
        raise InputError(f"jobs is {n_jobs!r}; it must be a whole number")
    if n_jobs == -1:
        return int(joblib.cpu_count())
    if n_jobs < 1:
        raise InputError(f"jobs is {n_jobs}; it must be at least 1, or -1 for all processors")
    return n_jobs


def missing_runs(study: Study, directory: Path) -> list[Run]:
    """Return the runs that have no result in the directory yet; failed ones count as missing.

    Raises
    ------
    ValueError
        The directory cannot be used for the study, or a file that runs draw from cannot.
    """
    missing = _missing_runs(study, directory)
    read_tables(missing)
    return missing


def _missing_runs(study: Study, directory: Path) -> list[Run]:
    if not (directory / FILE_NAME).exists():
        if directory.exists() and not directory.is_dir():
            raise InputError(f"{directory} is a file; give a directory with --out")
        return list(study.runs)
    with Store.open(directory) as store:
        store.check_study(study)
        status = store.status()
    return [run for run in study.runs if status.get(run.key, "failed") == "failed"]


@contextlib.contextmanager
def _opened(study: Study, directory: Path) -> Iterator[Store]:
    if (directory / FILE_NAME).exists():
        store = Store.open(directory, write=True)
    else:
        store = Store.create(directory, study)
    with store:
        store.check_study(study)
        yield store


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold the directory for this process; the lock goes with the process however it ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / ".lock").open("a")
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror}") from None
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(
                    f"{directory} is in use by another mlpspec run; wait for it or give another "
                    "directory with --out"
                ) from None
        yield


def _train_all(
    study: Study,
    store: Store,
    batches: list[Batch],
    n_jobs: int,
    fail_fast: bool,
    progress: bool,
    command: Sequence[str],
) -> None:
    session = store.begin_session(study, provenance.now(), provenance.collect(command, n_jobs))
    parallel = joblib.Parallel(
        min(n_jobs, len(batches)), return_as="generator_unordered", batch_size=1
    )
    payload = _pack(study, read_tables(run for batch in batches for run in batch))
    finished = parallel(joblib.delayed(_work)(batch, payload, os.getpid()) for batch in batches)
    try:
        with _progress(study.name, batches) if progress else contextlib.nullcontext() as show:
            for records in finished:
                store.add(records, session)
                if show is not None:
                    show(records)
                if fail_fast and any(record.status == "failed" for record in records):
                    break
    except BrokenExecutor as error:
        raise WorkerLostError(
            f"a worker was killed, perhaps for want of memory; {len(store.status())} runs are kept "
            f"in {store.path.parent}, run it again to continue, with fewer jobs if need be"
        ) from error
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib would count the tasks that were given up
            finished.close()  # ends the workers if they are still at work
        store.end_session(session, provenance.now())


def _pack(study: Study, tables: Tables) -> bytes:
    """Return a study's own losses and the files it draws from as bytes for any engine to carry.

    Classes travel by value: a file that `--loss` ran is no module that a worker could import.
    """
    losses = study.own_losses
    modules = {module for loss in losses.values() for module in code_of(type(loss))}
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cast(bytes, cloudpickle.dumps((losses, tables)))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


@lru_cache(maxsize=1)  # a worker outlives its study, and files may be large
def _unpack(payload: bytes) -> tuple[Extensions, Tables]:
    return cast(tuple[Extensions, Tables], cloudpickle.loads(payload))


def _work(batch: Batch, payload: bytes, owner: int) -> list[Record]:
    _serve(owner)
    return train_batch(batch, *_unpack(payload))


@cache
def _serve(owner: int) -> None:
    """Make a worker process of joblib's own backend end with its parent and leave Ctrl-C to it."""
    if not current_process().name.startswith("LokyProcess"):
        return  # the owner itself, or a worker of an engine that looks after its own
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def estimate(study: Study, batches: list[Batch], n_jobs: int) -> float:
    """Return about how many seconds the batches will take here, from a few steps of each kind."""
    rates: dict[tuple[int, int, int, int], tuple[float, float]] = {}
    seconds = []
    losses = study.own_losses
    for batch in batches:
        run = batch[0]
        shape = (run.n_samples, run.hidden_units, run.n_inputs, len(batch))
        if shape not in rates:
            # The difference of two probes is training alone, the rest is spent once a run. The
            # least of three is the one that other programs disturbed least.
            few, more = (min(_probe(batch, losses, steps) for _ in range(3)) for steps in (10, 60))
            step = max(more - few, 0.0) / 50
            rates[shape] = step, max(few - 10 * step, 0.0)
        step, once = rates[shape]
        seconds.append(step * run.steps + once)
    return 1.0 + max(sum(seconds) / n_jobs, max(seconds, default=0.0))


def _probe(batch: Batch, losses: Extensions, steps: int) -> float:
    short = tuple(replace(run, steps=steps, record_every=0) for run in batch)
    began = time.perf_counter()
    train_batch(short, losses)
    return time.perf_counter() - began


@contextlib.contextmanager
def _progress(name: str, batches: list[Batch]) -> Iterator[Callable[[list[Record]], None]]:
    """Show runs done, runs failed and the time left, which counts work, not runs."""
    from tqdm import tqdm

    n_runs = sum(map(len, batches))
    total = sum(work(run) for batch in batches for run in batch)
    done = failed = finished = 0
    plain = sys.stderr is None or not sys.stderr.isatty()
    began = last = time.monotonic()
    bar = tqdm(
        total=total,
        disable=plain,
        bar_format="{desc} |{bar}| {percentage:3.0f}% {elapsed} < {remaining}",
        leave=True,
    )

    def show(records: list[Record]) -> None:
        nonlocal done, failed, finished, last
        done += len(records)
        failed += sum(record.status == "failed" for record in records)
        finished += sum(work(record.run) for record in records)
        text = f"{name}: {done}/{n_runs} runs, {failed} failed"
        bar.set_description_str(text, refresh=False)
        bar.update(finished - bar.n)
        if plain and (time.monotonic() - last > 5 or done == n_runs):
            last = time.monotonic()
            left = (last - began) * (total / finished - 1)
            print(f"{text}, {left:.0f} s left", file=sys.stderr, flush=True)

    def show_if_possible(records: list[Record]) -> None:
        # Nobody may be listening any more; that is no reason to stop training.
        with contextlib.suppress(OSError, ValueError):
            show(records)

    with bar:
        bar.set_description_str(f"{name}: 0/{n_runs} runs, 0 failed")
        yield show_if_possible
