"""Running a study: plan, train in parallel, store.

What trains batches, here or on a cluster, is a generator. It gives no records as soon as they are
on their way, for the first time or again, and the records of each as soon as it is finished.

What happens is logged here, in the process that keeps the records, and nothing in the workers: the
logger ``mlpspec.running`` and those below it tell at INFO what is planned, begun and finished, at
WARNING which runs failed and which workers were lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import warnings
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NamedTuple

from threadpoolctl import threadpool_limits

from mlpspec.data.spec import parse_call
from mlpspec.errors import InputError, WorkerLostError, expect_number
from mlpspec.running import cluster, provenance, signals, workers
from mlpspec.running.planning import Batch, plan
from mlpspec.running.progress import formulas_of, progress_of
from mlpspec.running.worker import pack, train_packed
from mlpspec.shown import counted
from mlpspec.store.database import LOCK_NAME, has_store, try_lock
from mlpspec.store.results import DERIVED, Results
from mlpspec.store.store import Record, Store
from mlpspec.study.problem import read_tables
from mlpspec.study.readings import CHOSEN, READING
from mlpspec.study.run import SETTINGS, Run
from mlpspec.study.study import Study
from mlpspec.training import engine as engines
from mlpspec.training.compiled import cached_files, fill_cache

logger = logging.getLogger(__name__)


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
    engine: str = "auto",
) -> Results:
    """Train the runs of a study that its results directory lacks; return the results.

    The same study gives the same bits for any number of workers and any batch size, interrupted
    or not. Each batch is stored as soon as it is finished, so that an interrupted study goes on
    where it stopped when it is run again. A batch whose worker was killed is trained again, then
    run by run; only a run whose worker is killed while it trains alone fails.

    Parameters
    ----------
    study : Study
    out : path, optional
        Results directory; by default ``runs/NAME``.
    n_jobs : int
        Worker processes; -1 is one per processor, 1 trains in this very process. joblib's backend
        is the caller's choice (``with joblib.parallel_config(backend=...)``: Ray's and Spark's
        come with packages of theirs). What stands above of killed workers holds for joblib's
        default backend, loky, and for ``dask``; others lose or keep a batch as they see fit.
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
    engine : str
        ``"numpy"``, ``"compiled"``, or ``"auto"``: that of the directory's last session; in a new
        directory the compiled one where numba works. Single precision is always NumPy's. Each
        session's provenance names its engine. A warning says where ``MLPSPEC_COMPILED=0`` gives a
        directory another engine than that of its last session.

    Raises
    ------
    ValueError
        A number out of its limits, or a directory that cannot be used: not writable, in use,
        damaged, of another study or with other settings; a cluster that cannot; or an engine that
        does not exist or does not work here.
    WorkerLostError
        Every worker is killed, or the cluster lost all workers or its scheduler.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> study = Study("two", {"seed": (0, 1)}, {"n_samples": 3, "steps": 5})
    >>> with TemporaryDirectory() as out:
    ...     results = run_study(study, out, n_jobs=1, engine="numpy")
    ...     results.table["status"].tolist(), results.sessions[0]["engine"]
    (['ok', 'ok'], 'numpy')
    """
    n_jobs = workers.count_jobs(n_jobs)
    if batch_size is not None:
        expect_number(f"batch_size is {batch_size}", batch_size, whole=True, least=1)
    directory = Path("runs") / study.name if out is None else Path(out)
    (task,) = tasks_of({directory: study}, engine)
    if engine == "auto" and task.note:
        warnings.warn(task.note, stacklevel=2)
    return run_task(task, n_jobs, batch_size, fail_fast, progress, command, dask)


def run_task(
    task: Task,
    n_jobs: int,
    batch_size: int | None = None,
    fail_fast: bool = False,
    progress: bool = False,
    command: Sequence[str] = (),
    dask: str | None = None,
) -> Results:
    """Train what a directory lacks, as `run_study` says; return the results."""
    study, directory, missing = task.study, task.directory, task.missing
    told = study.name, len(study.runs), len(study.runs) - len(missing), directory
    logger.info("%s: %d runs, of which %d are in %s", *told)
    if not missing:
        results = Results(directory)
        if not all((directory / name).exists() for name in DERIVED):
            results.write_tables()
        return results
    engine = task.engine
    since = f", the last session had the {task.last} one" if task.last else ""
    logger.info("%s: the %s engine trains%s", study.name, engine, since)
    payload = pack(study, read_tables(missing), engine)
    with contextlib.ExitStack() as stack:
        if dask is None:
            # Threads of one process share this limit: none must lift it while another trains.
            stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
            train, about = partial(workers.train_batches, payload, n_jobs), {"jobs": n_jobs}
        else:
            client = stack.enter_context(cluster.connect(dask))
            train = partial(cluster.train_batches, client, partial(train_packed, payload), engine)
            about = cluster.describe(client)
        stack.enter_context(_locked(directory))
        if has_store(directory):  # another command may have trained some of them meanwhile
            missing, _ = missing_runs(study, directory)
            if not missing:
                return Results(directory)
        session = stack.enter_context(_Session(study, directory))
        batches = plan(missing, about["jobs"], batch_size)
        planned = study.name, len(missing), len(batches), about["jobs"]
        logger.info("%s: %d runs to train in %d batches on %d workers", *planned)
        if engine == "compiled" and dask is None and not cached_files():
            logger.info("%s: the kernel is compiled first, which takes some seconds", study.name)
            fill_cache()  # once, not in each worker
            with signals.deferred():  # they are lost where it is compiled in this process after all
                engines.prepare()
        finished = stack.enter_context(contextlib.closing(train(batches)))
        next(finished)  # workers load their modules during what follows
        chosen = {"reading": CHOSEN} if READING.items() <= study.settings.items() else {}
        used = {"autograd": version("autograd")} if formulas_of(study) else {}
        session.about = {**provenance.collect(command, engine), **used, **about, **chosen}
        try:
            _train_all(session, batches, finished, fail_fast, progress)
        except BaseException:
            # What went wrong is to be raised, not that tables cannot be written after it.
            with contextlib.suppress(OSError, ValueError):
                Results(directory).write_tables()
            raise
        results = Results(directory)
        results.write_tables()
        return results


class Task(NamedTuple):
    """A study that is trained in a directory.

    Examples
    --------
    >>> study = Study("two", {"seed": (0, 1)}, {})
    >>> (task,) = tasks_of({Path("there", "is", "nothing"): study}, "numpy")
    >>> len(task.missing), task.last, task.engine
    (2, None, 'numpy')
    """

    study: Study
    directory: Path
    missing: list[Run]
    last: str | None
    """The engine of the directory's last session; None if it has had none."""

    engine: str
    note: str | None
    """Where it is another engine than that of the last session, or of the first directory."""


def tasks_of(studies: Mapping[Path, Study], asked: str) -> list[Task]:
    """Return what is missing where, and which engine trains it: ``asked``, or ``"auto"``.

    The first directory decides for all that have had no session, so that runs that are compared
    with one another have one engine.

    Raises
    ------
    ValueError
        As `missing_runs`; or an engine that does not exist, or is needed and does not work here.
    """
    tasks: list[Task] = []
    shared = None
    for directory, study in studies.items():
        missing, last = missing_runs(study, directory)
        shared = shared if tasks else last
        engine, note = last or asked, None
        if missing:
            engine = engines.choose(asked, last or shared)
            shared = shared or engine
            single = not any(run.dtype == "float64" for run in missing)
            if last and last != engine:
                why = "MLPSPEC_COMPILED=0 asks" if asked == "auto" else "asked"
                note = f"had the {last} engine; its missing runs use the {engine} one, as {why}"
            elif engine != shared and asked == "auto":
                main = tasks[0].directory
                note = f"keeps the {engine} engine of its last session; {main} has the {shared} one"
            elif asked == "compiled" and single:
                note = "is in single precision, which NumPy trains; the compiled engine is not used"
            engine = "numpy" if single else engine
        note = f"{directory} {note}" if note else None
        tasks.append(Task(study, directory, missing, last, engine, note))
    return tasks


def missing_runs(study: Study, directory: Path) -> tuple[list[Run], str | None]:
    """Return the runs that have no result in a directory, and the engine of its last session.

    Failed runs count as missing.

    Raises
    ------
    ValueError
        The directory cannot be used for the study, or a file that runs draw from cannot; or a
        learning rate that the rule of a run does not use.

    Examples
    --------
    >>> missing, last = missing_runs(Study("two", {"seed": (0, 1)}, {}), Path("nothing", "there"))
    >>> len(missing), last
    (2, None)
    """
    kept: Mapping[Any, tuple[Record, list[str]]] = {}
    last = None
    if has_store(directory):
        with Store.open(directory) as store:
            store.check_study(study)
            store.hold(study.held)
            kept, sessions = store.kept(), store.sessions()
        last = engines.used_in(sessions[-1]) if sessions else None
    elif directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file; give a directory with --out")
    done = {meaning for meaning, (record, _) in kept.items() if record.status != "failed"}
    missing = [run for run in study.runs if run.meaning not in done]
    _check_rates(missing)
    read_tables(missing)
    return missing, last


def _check_rates(runs: Sequence[Run]) -> None:
    """Raise `InputError` where a run would be another's twin: L-BFGS takes no learning rate.

    `Run` itself does not refuse it, so that stores which have such runs are read.
    """
    default = SETTINGS["learning_rate"].default
    for run in runs:
        if run.learning_rate != default and parse_call(run.optimizer).name == "lbfgs":
            raise InputError(
                f"learning_rate is {run.learning_rate:g}, but {run.optimizer} searches the length "
                f"of its steps; leave learning_rate at {default:g}"
            )


def _locked(directory: Path) -> IO[str]:
    """Return an open file that holds the directory for this process, however that ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK_NAME).open("a")
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror}") from None
    if not try_lock(file):
        file.close()
        raise InputError(
            f"{directory} is in use by another mlpspec run; wait for it or give another "
            "directory with --out"
        )
    return file


class _Session(contextlib.AbstractContextManager["_Session"]):
    """Keeps what is trained; begins, and with it a new store, at the first records.

    A study that is stopped before, or whose engine fails, leaves no empty session or store behind.
    """

    def __init__(self, study: Study, directory: Path) -> None:
        self.study, self.directory = study, directory
        self.began = provenance.now()
        self.about: dict[str, Any] = {}
        self.number: int | None = None
        self.store: Store | None = None
        if has_store(directory):
            self.store = Store.open(directory, write=True)
            self.store.check_study(study)
            logger.info("%s: goes on with the store in %s", study.name, directory)

    def add(self, records: list[Record]) -> None:
        with signals.deferred():  # between the store and its session, too
            if self.store is None:
                self.store = Store.create(self.directory, self.study)
                logger.info("%s: made a store in %s", self.study.name, self.directory)
            if self.number is None:
                self.number = self.store.begin_session(self.study, self.began, self.about)
                logger.info("%s: session %d begins", self.study.name, self.number)
            self.store.add(records, self.number)

    def end(self) -> None:
        if self.store is not None and self.number is not None:
            self.store.end_session(self.number, provenance.now())

    def __exit__(self, *exc: object) -> None:
        if self.store is not None:
            self.store.close()


def _train_all(
    session: _Session,
    batches: list[Batch],
    finished: Generator[list[Record]],
    fail_fast: bool,
    progress: bool,
) -> None:
    began, counts = time.monotonic(), Counter[str]()
    try:
        with progress_of(session.study, batches) if progress else contextlib.nullcontext() as show:
            for records in filter(None, finished):
                session.add(records)
                counts.update(record.status for record in records)
                _log_batch(session.study.name, records, counts.total(), sum(map(len, batches)))
                if show is not None:
                    show(records)
                if fail_fast and any(record.status == "failed" for record in records):
                    break
    except WorkerLostError as error:
        kept = len(session.store.status()) if session.store is not None else 0
        raise WorkerLostError(
            f"{error}; {kept} runs are kept in {session.directory}, run it again to continue"
        ) from error
    finally:
        finished.close()  # ends the workers if they are still at work
        session.end()
        told = counted(counts.elements())
        seconds = time.monotonic() - began
        logger.info("%s: the session ends after %.1f s: %s", session.study.name, seconds, told)


def _log_batch(name: str, records: list[Record], done: int, total: int) -> None:
    """Log what came of a batch, and by name the runs that failed or diverged."""
    run, seconds = records[0].run, sum(r.measurements.get("seconds", 0.0) for r in records)
    size = f"N={run.n_samples}, K={run.hidden_units}, D={run.n_inputs}"
    told = name, done, total, len(records), size, seconds
    logger.info("%s: %d of %d runs; a batch of %d runs (%s) took %.2f s", *told)
    for record in records:
        about = name, record.run.key, record.run.label, record.run.n_samples, record.run.seed
        if record.status == "failed":
            said = next(reversed((record.error or "").splitlines()), "")
            logger.warning("%s: run %s (%s, N=%d, seed %d) failed: %s", *about, said)
        elif record.status == "diverged":
            logger.info("%s: run %s (%s, N=%d, seed %d) diverged", *about)
