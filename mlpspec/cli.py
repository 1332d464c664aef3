"""The command line: ``mlpspec``."""

from __future__ import annotations

import argparse
import os
import runpy
import shlex
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mlpspec import __version__
from mlpspec.errors import InputError, WorkerLostError, unknown

if TYPE_CHECKING:
    from mlpspec.study import Study

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = _parser().parse_args(argv)
        commands = {"run": _run, "status": _status, "export": _export, "studies": _studies}
        return commands[arguments.command](arguments, argv)
    except InputError as error:
        return _complain(str(error))
    except sqlite3.Error as error:
        return _complain(f"the store failed: {error}; what was stored before is kept")
    except WorkerLostError as error:
        print(f"mlpspec: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror}")


def _complain(message: str) -> int:
    print(f"mlpspec: error: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mlpspec",
        description="Train minimal Gaussian MLPs with structural losses in controlled studies, "
        "and measure whether their data can be read back from the weights.",
        epilog="exit status: 0 fine, 1 some runs failed, 2 bad usage or input, 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"mlpspec {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        help="train the runs of a study that are missing",
        description="Train the runs of a study that its results directory lacks.",
        epilog="Run it again to continue what was interrupted, or to add seeds and sizes.",
    )
    run.add_argument(
        "study",
        nargs="?",
        default="paper",
        metavar="STUDY",
        help="a name from `mlpspec studies`, or a Python file that defines STUDY (default: paper)",
    )
    run.add_argument("--out", metavar="DIR", help="results directory (default: runs/STUDY)")
    run.add_argument("--jobs", type=_whole, default=-1, metavar="N", help="workers (default: all)")
    run.add_argument("--seeds", metavar="A:B", help="seeds A to B-1, or a list like 0,3,7")
    run.add_argument("--sizes", metavar="N,N", help="sizes of the data set, like 3,5,10")
    run.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="settings of all runs, like steps=500; `mlpspec studies` lists them",
    )
    run.add_argument("--fail-fast", action="store_true", help="stop at the first failed run")
    run.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
    run.add_argument("--quiet", action="store_true", help="print errors only")

    status = commands.add_parser("status", help="say what a results directory holds")
    status.add_argument("directory", metavar="DIR")

    export = commands.add_parser("export", help="write results in another format")
    export.add_argument("directory", metavar="DIR")
    export.add_argument(
        "--format",
        required=True,
        choices=("csv", "parquet", "npz"),
        help="csv: tables of runs and summary; parquet: table of runs; npz: weights and data",
    )

    commands.add_parser("studies", help="list the named studies and the settings")
    return parser


def _run(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    # While modules load there is nothing to lose, and an exception would only garble them.
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    study = _chosen_study(arguments)
    from mlpspec import runner
    from mlpspec.planning import plan

    signal.signal(signal.SIGINT, signal.default_int_handler)
    directory = Path(arguments.out) if arguments.out is not None else Path("runs") / study.name
    n_jobs = runner.count_jobs(arguments.jobs)
    missing = runner.missing_runs(study, directory)
    say = (lambda text: None) if arguments.quiet else print
    if arguments.dry_run:
        batches = plan(missing, n_jobs)
        say(
            f"{study.name}: {len(study.runs)} runs, {len(study.runs) - len(missing)} of them "
            f"already in {directory}"
        )
        say(
            f"to train: {len(missing)} runs in {len(batches)} batches on {n_jobs} workers, "
            f"about {_duration(runner.estimate(batches, n_jobs))}"
        )
        return 0

    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    try:
        results = runner.run_study(
            study,
            directory,
            n_jobs,
            fail_fast=arguments.fail_fast,
            progress=not arguments.quiet,
            command=["mlpspec", *argv],
        )
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        left = len(runner.missing_runs(study, directory))
        print(
            f"mlpspec: interrupted; {len(study.runs) - left} of {len(study.runs)} runs are kept in "
            f"{directory}; continue with: {shlex.join(['mlpspec', *argv])}",
            file=sys.stderr,
        )
        return INTERRUPTED
    asked = {run.key for run in study.runs}
    counts = Counter(status for key, status in results.status.items() if key in asked)
    told = ", ".join(f"{counts[status]} {status}" for status in ("ok", "diverged", "failed"))
    if missing:
        trained = f"trained {len(missing)} runs in {_duration(time.monotonic() - began)}"
    else:
        trained = "nothing to train"
    say(f"{study.name}: {trained}; {directory} has {told}")
    if counts["failed"]:
        key, error = next((k, e) for k, e in results.errors.items() if k in asked)
        print(
            f"mlpspec: {counts['failed']} runs failed, the first ({key}) with: "
            f"{error.strip().splitlines()[-1]}; see mlpspec status {shlex.quote(str(directory))}; "
            "the next run tries them again",
            file=sys.stderr,
        )
        return FAILED
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _chosen_study(arguments: argparse.Namespace) -> Study:
    from mlpspec.studies import STUDIES
    from mlpspec.study import EXTENDABLE, SETTINGS, Study

    name = arguments.study
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise InputError(f"there is no file {name}")
        study = runpy.run_path(name).get("STUDY")
        if not isinstance(study, Study):
            raise InputError(f"{name} defines no STUDY; it must hold STUDY = mlpspec.Study(...)")
    elif name in STUDIES:
        study = STUDIES[name]()
    else:
        raise unknown("study", name, STUDIES)
    changes: dict[str, object] = {}
    if arguments.seeds is not None:
        changes["seed"] = _seeds(arguments.seeds)
    if arguments.sizes is not None:
        changes["n_samples"] = _numbers("sizes", arguments.sizes)
    for item in arguments.settings:
        field, given, value = item.partition("=")
        if not given:
            raise InputError(f"--set has {item!r}; settings look like NAME=VALUE")
        settable = set(SETTINGS) - set(EXTENDABLE)
        if field not in settable:
            raise unknown("setting", field, settable)
        changes[field] = value
    return study.replace(**changes)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _seeds(text: str) -> tuple[int, ...]:
    first, is_range, last = text.partition(":")
    if not is_range:
        return _numbers("seeds", text)
    try:
        seeds = tuple(range(int(first or 0), int(last)))
    except ValueError:
        raise InputError(f"--seeds is {text!r}; it must look like 0:10 or 0,3,7") from None
    if not seeds:
        raise InputError(f"--seeds is {text!r}, which is empty; the second number must be larger")
    return seeds


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"--{option} is {text!r}; it must look like 3,5,10") from None


def _status(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.results import load

    results = load(arguments.directory)
    study, status = results.study, results.status
    asked = [status.get(run.key, "missing") for run in study.runs]
    counts = Counter(status.values())
    last = results.sessions[-1]
    settings = ", ".join(f"{name}={value}" for name, value in study.settings.items()) or "defaults"
    print(f"study     {study.name}: {study.question}")
    print(f"settings  {settings}")
    told = ", ".join(f"{counts[name]} {name}" for name in ("ok", "diverged", "failed"))
    print(f"runs      {len(status)} in {results.directory}: {told}")
    print(
        f"asked     {len(asked)} by the last session: {asked.count('missing')} missing, "
        f"{asked.count('failed')} failed"
    )
    ended = last["ended"] or "(running, or killed)"
    print(f"sessions  {len(results.sessions)}; the last {last['started']} to {ended}")
    print(
        f"made with mlpspec {last['mlpspec']}, numpy {last['numpy']}, Python {last['python']}, "
        f"{last['jobs']} jobs on {last['processor']}"
    )
    for key, error in list(results.errors.items())[:5]:
        print(f"failed    {key}: {error.strip().splitlines()[-1]}")
    return 0


def _export(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.results import load

    for path in load(arguments.directory).export(arguments.format):
        print(path)
    return 0


def _studies(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.studies import STUDIES
    from mlpspec.study import EXTENDABLE, SETTINGS

    print("studies")
    for name, describe in STUDIES.items():
        study = describe()
        print(f"  {name:16} {len(study.runs):5} runs  {study.question}")
    print("settings (--set NAME=VALUE)")
    for name, setting in SETTINGS.items():
        if name not in EXTENDABLE:
            print(f"  {name:16} {setting.default!s:18} {setting.help}")
    return 0


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
