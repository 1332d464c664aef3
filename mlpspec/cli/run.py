"""The commands that train: ``run``, and for users' losses ``check-loss`` and ``loss-card``."""

from __future__ import annotations

import os
import runpy
import shlex
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import mlpspec.losses
from mlpspec.cli.results import write_report
from mlpspec.cli.terminal import FAILED, INTERRUPTED, duration, last_line, line, put, say, warn
from mlpspec.data.held import HELD, RUN, content_of
from mlpspec.data.spec import parse_call
from mlpspec.errors import InputError, is_interrupt, one_line, unknown
from mlpspec.running.planning import plan, way_of
from mlpspec.running.progress import estimate
from mlpspec.running.runner import Task, missing_runs, run_task, tasks_of
from mlpspec.running.worker import portable
from mlpspec.running.workers import count_jobs
from mlpspec.shown import counted
from mlpspec.store.database import has_store
from mlpspec.store.results import Results
from mlpspec.studies import CHANGED, COMPANIONS, STUDIES, companion
from mlpspec.study.ends import ENDS
from mlpspec.study.extensions import define, load_loss, named_loss
from mlpspec.study.run import EXTENDABLE, SETTINGS
from mlpspec.study.stages import STAGES, beside, check_seeds, next_stage
from mlpspec.study.study import MOST_RUNS, Study


def run(arguments: Namespace) -> int:
    """Train the runs of a study that its results directory lacks, and its companions."""
    study, changes, directory = chosen_study(arguments)
    n_jobs = count_jobs(arguments.jobs)
    studies = {directory: study}
    for name in () if arguments.only else COMPANIONS.get(arguments.study, ()):
        changed = CHANGED.get(arguments.study, {}) | changes
        inner = companion(name, changed, study.extensions)
        if inner is not None:
            studies[directory / name] = inner
    if study.variants and study.name in STAGES and not arguments.only:
        check_seeds(study)
        studies = _with_others(study, directory)
    tasks = _tasks(studies, arguments.engine)
    stages = _stages(study, directory, changes, arguments.dry_run)
    stages = islice(stages, 1 if arguments.only else None)
    if arguments.dry_run:
        for stage, place in islice(stages, 1, None):
            if not has_store(place):  # else that directory knows which variants they are
                tasks += _tasks(_with_others(stage, place), arguments.engine)
        return _dry_run(arguments, tasks, n_jobs)

    terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        failed = 0
        for stage, place in stages:
            if stage is not study:
                tasks = _tasks(_with_others(stage, place), arguments.engine)
            for task in tasks:
                failed += train(
                    arguments,
                    task,
                    n_jobs,
                    fail_fast=arguments.fail_fast,
                    dask=arguments.dask,
                    to_record=bool(changes.keys() & {"record", "record_every"}),
                )
                if failed and arguments.fail_fast:
                    return FAILED
            trained = any(task.missing for task in tasks)
            if not arguments.only and (trained or not (place / "report.html").exists()):
                write_report(place, quiet=arguments.quiet)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        left, asked = len(missing_runs(study, directory)[0]), len(study.runs)
        warn(
            f"interrupted; {asked - left} of {asked} runs are kept in {directory}; continue with: "
            f"{shlex.join(arguments.line)}"
        )
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, terminate)
    return FAILED if failed else 0


def _stages(
    study: Study, directory: Path, changes: Mapping[str, Any], dry: bool
) -> Iterator[tuple[Study, Path]]:
    """Iterate over a study and those that follow on what came of it, with their directories.

    A stage follows from what the one before has when it is asked for; in a dry run the first
    variants stand for those to come. Other sizes that were asked for are those of all stages.
    """
    yield study, directory
    while study.name in STAGES:
        from mlpspec.analysis.analysis import Analysis

        ranked = list(study.variants) if dry else Analysis(directory).ranked
        following = next_stage(study, ranked) if ranked else None
        if following is None:
            return
        if "n_samples" in changes:
            following = following.replace(n_samples=changes["n_samples"])
        study, directory = following, directory / following.name
        yield study, directory


def _with_others(study: Study, directory: Path) -> dict[Path, Study]:
    return {directory: study} | {directory / name: of for name, of in beside(study).items()}


def _tasks(studies: Mapping[Path, Study], asked: str) -> list[Task]:
    """Return what is trained where; say on stderr where the engine is not what one might think."""
    tasks = tasks_of(studies, asked)
    for task in tasks:
        if task.note:
            warn(task.note)
    return tasks


def _dry_run(arguments: Namespace, tasks: list[Task], n_jobs: int) -> int:
    total = 0.0
    for study, directory, missing, _, engine, _ in tasks:
        batches = plan(missing, n_jobs)
        seconds, ways = estimate(study, batches, n_jobs, engine) if batches else (0.0, {})
        total += seconds
        say(
            arguments,
            f"{study.name}: {len(study.runs)} runs, {len(study.runs) - len(missing)} of them "
            f"already in {directory}; to train: {len(missing)} runs in {len(batches)} batches",
        )
        counts = Counter(way_of(run, engine) for run in missing)
        for way, taken in ways.items():
            say(arguments, f"  {way} trains {counts[way]} runs, about {duration(taken)}")
    say(arguments, f"about {duration(total)} on {n_jobs} workers")
    return 0


def train(
    arguments: Namespace,
    task: Task,
    n_jobs: int,
    *,
    fail_fast: bool = False,
    dask: str | None = None,
    to_record: bool = False,
) -> int:
    """Train what a directory lacks and print what came of it; return how many runs failed.

    Where it was asked ``to_record`` the runs, it is said which were trained without.
    """
    began = time.monotonic()
    study, directory, missing = task.study, task.directory, task.missing
    # Where there is no bar, a log has more than the plain lines in its place.
    bar_or_lines = not arguments.quiet and (sys.stderr.isatty() or not arguments.verbose)
    results = run_task(
        task,
        n_jobs,
        fail_fast=fail_fast,
        progress=bar_or_lines,
        command=arguments.line,
        dask=dask,
    )
    asked = {*results.keys_of(study.runs)}
    found = [status for key, status in results.status.items() if key in asked]
    untried = len(asked) - len(found)
    tried = len(missing) - untried
    trained = f"trained {tried} runs in {duration(time.monotonic() - began)}"
    told = f"{study.name}: {trained if tried else 'nothing to train'}; of {len(asked)} in "
    told += f"{directory} {counted(found)}{f', {untried} not tried' if untried else ''}"
    say(arguments, told)
    records = study.settings.get("record_every") or study.settings.get("record") == "log"
    if to_record and records and not tried:
        without = sum(not results.has_curve(key) for key in asked)
        if without:
            warn(
                f"{without} runs were not recorded while they trained and have no curve; "
                "train them with --out in another directory to record them"
            )
    failed = found.count("failed")
    if failed:
        key, error = next((k, e) for k, e in results.errors.items() if k in asked)
        warn(
            f"{failed} runs failed, the first ({key}) with: {last_line(error)}; see "
            f"mlpspec status {shlex.quote(str(directory))}; the next run tries them again"
        )
    return failed


def chosen_study(arguments: Namespace) -> tuple[Study, dict[str, Any], Path]:
    """Return the study that was asked for, how it differs from that of its name, its directory."""
    name = arguments.study
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise InputError(f"there is no file {name}")
        try:
            study = runpy.run_path(name).get("STUDY")
        except InputError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise InputError(f"{name} fails with {one_line(error)}") from None
        if not isinstance(study, Study):
            raise InputError(f"{name} defines no STUDY; it must hold STUDY = mlpspec.Study(...)")
    elif name in STUDIES:
        study = STUDIES[name]()
    else:
        raise unknown("study", name, STUDIES)
    directory = Path(arguments.out) if arguments.out is not None else Path("runs") / study.name
    changes: dict[str, Any] = {}
    if arguments.seeds is not None:
        changes["seed"] = _seeds(arguments.seeds)
    if arguments.sizes is not None:
        changes["n_samples"] = _whole_numbers("sizes", arguments.sizes)
    if arguments.variants is not None:
        study = study.replace(variants=arguments.variants.split(","))
    for item in arguments.settings:
        field, given, value = item.partition("=")
        if not given:
            raise InputError(f"--set has {item!r}; settings look like NAME=VALUE")
        if field in EXTENDABLE:
            option = {"seed": "--seeds", "n_samples": "--sizes"}.get(field, "a study file")
            raise InputError(f"{field} is no setting of all runs; use {option}")
        if field not in SETTINGS:  # of those that --set takes, others than the study names
            raise unknown("setting", field, set(SETTINGS) - set(EXTENDABLE))
        if field in changes:
            raise InputError(f"--set gives {field} twice; keep one")
        about = [name for name, chosen in study.variants.items() if field in chosen]
        if about and study.name in ("controls", "robustness"):
            raise InputError(
                f"{field} is what the variant {about[0]} is about; leave it out, or "
                "choose other --variants"
            )
        is_end = field in ENDS and value.startswith(RUN)
        changes[field] = _end_of(field, value, directory) if is_end else value
    study = study.replace(**changes)
    if arguments.losses or arguments.subsets is not None:
        losses = [named_loss(text) for text in arguments.losses]
        if len(dict(losses)) < len(losses):
            raise InputError(f"--loss gives {losses[-1][0]} twice; give each loss its own name")
        _warn_of_faults([text.partition("=")[2] for text in arguments.losses], study)
        which = "all" if arguments.subsets is None else arguments.subsets
        study = study.with_losses(dict(losses), which)
    return study, changes, directory


def _end_of(setting: str, text: str, out: Path) -> str:
    """Return the description of a run's end that ``run:DIRECTORY/KEY`` names, and hold it.

    Where the run is no longer found, but ``out`` keeps its parameters, these are meant.

    Raises
    ------
    InputError
        There is no such run, it did not end well, or ``out`` keeps other parameters of it.
    """
    if content_of(text) is not None:
        return text
    place, _, key = text.removeprefix(RUN).replace(os.sep, "/").rpartition("/")
    if not place or has_store(f"{place}/{key}"):
        raise InputError(
            f"{setting} is {text!r}; give {setting}={RUN}DIRECTORY/KEY, with a results directory "
            "and a key from its runs.csv"
        )
    runs = Results(out).runs.values() if has_store(out) else ()
    texts = (str(getattr(run, name)) for run in runs for name in ENDS)
    kept = next((text for text in texts if text.startswith(f"{RUN}{key}@")), None)
    try:
        end = Results(place).end(key)
    except InputError as error:
        if kept is None or content_of(kept) not in HELD:
            raise InputError(f"{setting} is {text}: {error}") from None
        warn(f"{error}; {out} keeps the parameters that run {key} had, and goes on with them")
        return kept
    if kept is not None and kept != end:
        again = shlex.quote(f"{setting}={kept}")
        raise InputError(
            f"run {key} of {place} has other parameters than when {out} was made with it; go on "
            f"with --set {again}, or give another directory with --out"
        )
    return end


def _warn_of_faults(losses: Sequence[str], study: Study) -> None:
    """Check losses as check-loss does; what fails is trained all the same, but not unnoticed."""
    neuron = parse_call(str(study.settings.get("neuron", "ridge"))).name
    # Whatever this process imports from, and nothing else: no script of the working directory's.
    places = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": places, "PYTHONSAFEPATH": "1"}
    for text in losses:
        # In another process: what a loss does to the one that it runs in is not foreseeable.
        command = [sys.executable, "-m", "mlpspec", "check-loss", text, "--neuron", neuron]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment
        )
        if done.returncode or not done.stdout:
            first = next(iter(done.stderr.splitlines()), f"{text} ends the process that runs it")
            fault = line(first.removeprefix("mlpspec: error: "))
            warn(f"warning: {fault}; see mlpspec check-loss")


def _seeds(text: str) -> tuple[int, ...]:
    first, is_range, last = text.partition(":")
    if not is_range:
        return _whole_numbers("seeds", text, "0:10 or 0,3,7")
    try:
        start, stop = int(first or 0), int(last)
    except ValueError:
        raise InputError(f"--seeds is {text!r}; it must look like 0:10 or 0,3,7") from None
    if stop <= start:
        raise InputError(f"--seeds is {text!r}, which is empty; the second number must be larger")
    if stop - start > MOST_RUNS:
        raise InputError(f"--seeds is {text!r}; the limit is {MOST_RUNS} runs")
    return tuple(range(start, stop))


def _whole_numbers(option: str, text: str, like: str = "3,5,10") -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"--{option} is {text!r}; it must look like {like}") from None


def check_loss(arguments: Namespace) -> int:
    """Print what a check of a loss found; a fault is an error."""
    loss = load_loss(arguments.loss)
    report = mlpspec.losses.check_loss(loss, neuron=arguments.neuron)
    define("checked", loss)  # says what cannot be followed
    portable({type(loss).__name__: loss})
    put(*str(report).splitlines())
    return 0


def loss_card(arguments: Namespace) -> int:
    """Check a loss, train what its card lacks, and write the card."""
    from mlpspec.report import card, card_report  # matplotlib takes its time

    loss = load_loss(arguments.loss)
    name = card.name_of(loss, arguments.name)
    checks = mlpspec.losses.check_loss(loss)
    directory = Path(arguments.out or f"runs/loss-card-{name}")
    n_jobs = count_jobs(arguments.jobs)
    forces = card.forces(loss)
    studies = {
        directory: card.study(loss, card.weight_unit(forces)),
        directory / "alone": card.alone_study(loss),
    }
    tasks = _tasks(studies, arguments.engine)  # both can be used, before anything is trained
    failed = sum(train(arguments, task, n_jobs) for task in tasks)
    if failed:
        return FAILED  # a card shows all of its runs; the next call tries these again
    say(arguments, f"card: {card_report.write(directory, name, checks, forces)}")
    return 0
