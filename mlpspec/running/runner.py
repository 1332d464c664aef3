"""Running a study: plan, train in parallel, store. The only module that knows joblib."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from functools import cache, lru_cache, partial
from itertools import islice
from multiprocessing import current_process, resource_tracker
from pathlib import Path
from typing import Any, cast

import cloudpickle
import joblib
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from threadpoolctl import threadpool_limits

from mlpspec.errors import KILLED, InputError, WorkerLostError
from mlpspec.network.blocks import load_compiled
from mlpspec.running import cluster, provenance
from mlpspec.running.planning import Batch, plan, work
from mlpspec.running.worker import Extensions, train_batch
from mlpspec.store.database import FILE_NAME
from mlpspec.store.lock import LOCK_NAME, try_lock
from mlpspec.store.results import DERIVED, Results
from mlpspec.store.store import Record, Store
from mlpspec.study.extensions import code_of
from mlpspec.study.problem import Tables, read_tables
from mlpspec.study.run import Run
from mlpspec.study.study import Study

Engine = Callable[[list[Batch]], Generator[list[Record]]]
"""Trains batches somewhere; gives no records as soon as they are on their way, for the first time
or again, and the records of each as soon as it is finished."""

Work = Callable[[int, Batch], tuple[int, list[Record]]]
"""What a worker does with a batch; the number says which batch the records are of."""


def run_study(
    study: Study,
    out: str | os.PathLike[str] | None = None,
    n_jobs: int = -1,
    *,
    batch_size: int | None = None,
    fail_fast: bool = False,
    progress: bool = False,
    command: Sequence[str] = (),
    dask: str | None = None,
) -> Results:
    """Train the runs of a study that its results directory lacks; return the results.

    The same study gives the same bits for any number of workers and any batch size, interrupted
    or not. Each batch is stored as soon as it is finished, so that an interrupted study goes on
    where it stopped when it is run again. Batches whose worker was killed are trained again; only
    a run that was killed twice with nothing beside it fails.

    Parameters
    ----------
    study : Study
    out : path, optional
        Results directory; by default ``runs/NAME``.
    n_jobs : int
        Worker processes; -1 is one per processor, 1 trains in this very process. joblib's backend
        is the caller's choice (``with joblib.parallel_config(backend=...)``: Ray's and Spark's
        come with packages of theirs). What is said of killed workers holds for joblib's own
        backend, loky, and for ``dask``; others lose or keep a batch as they see fit.
    batch_size : int, optional
        The most runs that train together; by default what suits the cache.
    fail_fast : bool
        Stop at the first run that fails.
    progress : bool
        Show progress on stderr: a bar on a terminal, plain lines elsewhere.
    command : sequence of str
        Noted in the provenance.
    dask : str, optional
        Address of the scheduler of a Dask cluster (``tcp://host:8786``), which then trains in
        place of ``n_jobs`` workers here. Scheduler and workers need mlpspec and the versions of
        this process; one thread a worker is best.

    Raises
    ------
    ValueError
        A number out of its limits, or a directory that cannot be used: not writable, in use,
        damaged, of another study or with other settings; or a cluster that cannot.
    WorkerLostError
        Every worker is killed, or the cluster lost all workers or its scheduler.
    """
    n_jobs = count_jobs(n_jobs)
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; it must be at least 1")
    directory = Path("runs") / study.name if out is None else Path(out)
    missing = missing_runs(study, directory)
    if missing:
        with (
            _engine(study, missing, n_jobs, dask) as (engine, about),
            _held(directory),
            _opened(study, directory) as store,
        ):
            batches = plan(missing, about["jobs"], batch_size)
            began = provenance.now()
            with contextlib.closing(engine(batches)) as finished:
                next(finished)  # workers load their modules during what follows
                about = {**provenance.collect(command), **about}
                session = store.begin_session(study, began, about)
                try:
                    _train_all(study, store, session, batches, finished, fail_fast, progress)
                except BaseException:
                    # What went wrong is to be told, not that tables cannot be written after it.
                    with contextlib.suppress(OSError, ValueError):
                        Results(directory).write_tables()
                    raise
            results = Results(directory)
            results.write_tables()
            return results
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
        file = (directory / LOCK_NAME).open("a")
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror}") from None
    with file:
        if not try_lock(file):
            raise InputError(
                f"{directory} is in use by another mlpspec run; wait for it or give another "
                "directory with --out"
            )
        yield


@contextlib.contextmanager
def _engine(
    study: Study, missing: list[Run], n_jobs: int, dask: str | None
) -> Iterator[tuple[Engine, dict[str, Any]]]:
    """Give what trains batches, and what the provenance is to note of it."""
    payload = _pack(study, read_tables(missing))
    if dask is None:
        # Threads of one process share this limit: none must lift it while another trains.
        with threadpool_limits(limits=1, user_api="blas"):
            yield (
                partial(_train_here, partial(_work, payload, os.getpid()), n_jobs),
                {"jobs": n_jobs},
            )
    else:
        with cluster.connect(dask) as client:
            yield (
                partial(cluster.train, client, partial(_trained, payload)),
                cluster.describe(client),
            )


def _train_all(
    study: Study,
    store: Store,
    session: int,
    batches: list[Batch],
    finished: Generator[list[Record]],
    fail_fast: bool,
    progress: bool,
) -> None:
    try:
        with _progress(study.name, batches) if progress else contextlib.nullcontext() as show:
            for records in filter(None, finished):
                store.add(records, session)
                if show is not None:
                    show(records)
                if fail_fast and any(record.status == "failed" for record in records):
                    break
    except WorkerLostError as error:
        raise WorkerLostError(
            f"{error}; {len(store.status())} runs are kept in {store.path.parent}, run it again "
            "to continue"
        ) from error
    finally:
        finished.close()  # ends the workers if they are still at work
        store.end_session(session, provenance.now())


def _train_here(work: Work, n_jobs: int, batches: list[Batch]) -> Generator[list[Record]]:
    """Train batches in workers of joblib: an `Engine`.

    A batch whose worker was killed is tried again once all others are done, then alone, then by
    halves, so that only a run that was killed twice with nothing beside it fails.
    """
    lost: list[Batch] = []
    yield from _attempt(work, n_jobs, batches, lost)
    lost_again: list[Batch] = []
    yield from _attempt(work, n_jobs, lost, lost_again)
    for batch in lost_again:
        yield from _isolate(work, batch)


def _attempt(
    work: Work, n_jobs: int, batches: list[Batch], lost: list[Batch]
) -> Generator[list[Record]]:
    """Train batches as an `Engine`; those that a killed worker was training join ``lost``."""
    pending = dict(enumerate(batches))
    while pending:
        sent: list[int] = []
        # Alone, a batch would be trained in this very process, which nothing must kill.
        tasks, count = _tasks(work, pending, sent), min(n_jobs, max(2, len(pending)))
        try:
            with _given_up(_parallel(tasks, count)) as finished:
                yield []
                for number, records in finished:
                    del pending[number]
                    yield records
        except BrokenExecutor:
            lost += [pending.pop(number) for number in sent if number in pending]


@contextlib.contextmanager
def _given_up(tasks: Generator[Any]) -> Iterator[Generator[Any]]:
    """Give up in the end what is left of tasks, without joblib's count of it."""
    try:
        yield tasks
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tasks.close()


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
    with _unreachable_by_ctrl_c() if n_jobs > 1 else contextlib.nullcontext():
        return cast(Generator[tuple[int, list[Record]]], unordered(tasks))


def _by_some(
    together: joblib.Parallel, tasks: Iterator[Any], count: int
) -> Generator[tuple[int, list[Record]]]:
    while some := list(islice(tasks, count)):
        yield from together(some)


def _isolate(work: Work, batch: Batch) -> Generator[list[Record]]:
    """Train a batch that is under suspicion, apart from all others, by halves if need be."""
    lost: list[Batch] = []
    yield from _attempt(work, 2, [batch], lost)
    if lost and len(batch) > 1:
        middle = len(batch) // 2
        yield from _isolate(work, batch[:middle])
        yield from _isolate(work, batch[middle:])
    elif lost:
        lost_again: list[Batch] = []
        yield from _attempt(work, 2, [batch], lost_again)
        if lost_again:
            _check_that_workers_live(work)
            yield [Record(batch[0], "failed", error=KILLED)]


def _check_that_workers_live(work: Work) -> None:
    lost: list[Batch] = []
    list(_attempt(work, 2, [()], lost))
    if lost:
        raise WorkerLostError("every worker is killed, even one that has nothing to do")


def _work(payload: bytes, owner: int, number: int, batch: Batch) -> tuple[int, list[Record]]:
    _serve(owner)
    return number, _trained(payload, batch)


def _trained(payload: bytes, batch: Batch) -> list[Record]:
    return train_batch(batch, *_unpack(payload)) if batch else []


@contextlib.contextmanager
def _unreachable_by_ctrl_c() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach; for this one it waits until the end.

    A terminal sends it to all, and a worker that is still loading modules would die of it with a
    traceback. A blocked signal stays blocked in the processes that are started meanwhile.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Each of these unblocks the signal once it has started, and the first worker starts both.
    resource_tracker.ensure_running()
    loky_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


@cache
def _serve(owner: int) -> None:
    """Make a worker process of joblib's own backend end with its parent."""
    if not current_process().name.startswith("LokyProcess"):
        return  # the owner itself, or a worker of an engine that looks after its own

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    atexit.register(gc.freeze)  # it ends without a search of all it has loaded for cycles


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


SLOW = 0.2
"""Seconds of a probe of one step after which no others are made."""


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
