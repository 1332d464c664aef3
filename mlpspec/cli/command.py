"""The command line: ``mlpspec``."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import runpy
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mlpspec import __version__
from mlpspec.errors import InputError, LossError, WorkerLostError, unknown

if TYPE_CHECKING:
    from mlpspec.analysis.claims import Verdict
    from mlpspec.study.run import Run
    from mlpspec.study.study import Study

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

LONGEST = 600
"""Characters of a message, about: the rest of a value that is longer tells nobody more."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if sys.stderr is None:  # closed; libraries flush it without asking
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that it cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = _parser().parse_args(argv)
        commands = {
            "run": _run,
            "status": _status,
            "report": _report,
            "verify": _verify,
            "recover": _recover,
            "export": _export,
            "check-loss": _check_loss,
            "loss-card": _loss_card,
            "studies": _studies,
        }
        return commands[arguments.command](arguments, argv)
    except LossError as error:
        print(f"mlpspec: error: {error}", file=sys.stderr)  # a line for each fault
        return BAD_INPUT
    except InputError as error:
        return _complain(str(error))
    except sqlite3.Error as error:
        return _complain(
            f"the store failed: {error}; what was stored before is kept: when that is mended, the "
            "same command goes on"
        )
    except WorkerLostError as error:
        print(f"mlpspec: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except MemoryError as error:
        return _complain(f"memory does not suffice: {error}")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror or error}")


def _complain(message: str) -> int:
    print(f"mlpspec: error: {_line(message)}", file=sys.stderr)
    return BAD_INPUT


def _line(message: str) -> str:
    """Return a message as one line of bearable length."""
    line = _shown(" ".join(message.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def _shown(text: str) -> str:
    """Return text with nothing in it that could steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _last_line(error: str) -> str:
    return _line(next(reversed(error.strip().splitlines()), "no reason is known"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mlpspec",
        description="Train minimal Gaussian MLPs with structural losses in controlled studies, "
        "and measure whether their data can be read back from the weights.",
        epilog="exit status: 0 fine; 1 some runs failed, or verify found a stated claim that does "
        "not hold; 2 bad usage or input; 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"mlpspec {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        usage="mlpspec run [STUDY] [OPTION ...]",
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
    run.add_argument("--dask", metavar="ADDRESS", help="train on a Dask cluster, tcp://host:8786")
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
    run.add_argument(
        "--loss",
        action="append",
        default=[],
        metavar="NAME=FILE_OR_MODULE:CLASS(args)",
        dest="losses",
        help="a loss of your own beside the others (may be repeated); runs the code of that file; "
        "no other option runs any",
    )
    run.add_argument(
        "--subsets",
        metavar="WHICH",
        help="all (default with --loss), singles, pairs, or labels: baseline,mine,coverage+mine",
    )
    run.add_argument("--fail-fast", action="store_true", help="stop at the first failed run")
    run.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
    run.add_argument("--quiet", action="store_true", help="print errors only")

    run.add_argument(
        "--only", action="store_true", help="no companion studies (the sweep ...) and no report"
    )

    status = commands.add_parser("status", help="say what a results directory holds")
    status.add_argument("directory", metavar="DIR")

    report = commands.add_parser("report", help="make tables, figures and report.html anew")
    report.add_argument("directory", metavar="DIR")
    report.add_argument("--pdf", action="store_true", help="figures also as PDF")

    verify = commands.add_parser("verify", help="print the verdicts on the nine claims")
    verify.add_argument("directory", metavar="DIR")

    recover = commands.add_parser("recover", help="save what is intact in a damaged directory")
    recover.add_argument("directory", metavar="DIR")
    recover.add_argument("--out", required=True, metavar="NEW", help="new results directory")

    export = commands.add_parser("export", help="write results in another format")
    export.add_argument("directory", metavar="DIR")
    export.add_argument(
        "--format",
        required=True,
        choices=("csv", "parquet", "npz"),
        help="csv: tables of runs and summary; parquet: table of runs; npz: weights and data",
    )

    check = commands.add_parser("check-loss", help="say whether a loss of your own is right")
    check.add_argument(
        "--neuron", choices=("ridge", "radial"), default="ridge", help="the kind it is tried on"
    )
    card = commands.add_parser(
        "loss-card",
        help="make one page and one table that compare a loss with others",
        description="Check a loss, measure its force, train it alone and beside the fit, and write "
        "card.html, card.csv and figures/.",
        epilog="The same runs and columns for every loss. A second call trains nothing.",
    )
    for command in (check, card):
        command.add_argument(
            "loss",
            metavar="FILE_OR_MODULE:CLASS(args)",
            help="the loss, like mine.py:Mine(a=2) or mlpspec.losses:Coverage; runs that code",
        )
    card.add_argument("--out", metavar="DIR", help="directory (default: runs/loss-card-NAME)")
    card.add_argument("--name", help="of the loss on the card (default: its class's)")
    card.add_argument("--jobs", type=_whole, default=-1, metavar="N", help="workers (default: all)")
    card.add_argument("--quiet", action="store_true", help="print errors only")
    card.set_defaults(fail_fast=False, settings=[], dask=None)

    commands.add_parser("studies", help="list the named studies and the settings")
    return parser


def _run(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    # While modules load there is nothing to lose, and an exception would only garble them.
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        study, changes = _chosen_study(arguments)
        from mlpspec.running import runner
        from mlpspec.studies import COMPANIONS, companion
    finally:
        signal.signal(signal.SIGINT, before)

    directory = Path(arguments.out) if arguments.out is not None else Path("runs") / study.name
    n_jobs = runner.count_jobs(arguments.jobs)
    plans = [(study, directory)]
    if not arguments.only and arguments.study in COMPANIONS:
        for name in COMPANIONS[study.name]:
            inner = companion(name, changes, study.extensions)
            plans += [(inner, directory / name)] if inner is not None else []
    missing = [runner.missing_runs(*plan) for plan in plans]
    if arguments.dry_run:
        return _dry_run(arguments, plans, missing, n_jobs)

    terminate = signal.signal(signal.SIGTERM, _interrupt)
    try:
        failed = 0
        for plan in plans:
            failed += _train(arguments, argv, *plan, n_jobs)
            if failed and arguments.fail_fast:
                return FAILED
        if not arguments.only and (any(missing) or not (directory / "report.html").exists()):
            _write_report(directory, quiet=arguments.quiet)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        left, asked = len(runner.missing_runs(study, directory)), len(study.runs)
        print(
            f"mlpspec: interrupted; {asked - left} of {asked} runs are kept in "
            f"{directory}; continue with: {shlex.join(['mlpspec', *argv])}",
            file=sys.stderr,
        )
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, terminate)
    return FAILED if failed else 0


def _dry_run(
    arguments: argparse.Namespace,
    plans: list[tuple[Study, Path]],
    missing: list[list[Run]],
    n_jobs: int,
) -> int:
    from mlpspec.running import runner
    from mlpspec.running.planning import plan

    total = 0.0
    for (study, directory), runs in zip(plans, missing, strict=True):
        batches = plan(runs, n_jobs)
        total += runner.estimate(study, batches, n_jobs) if batches else 0.0
        _say(
            arguments,
            f"{study.name}: {len(study.runs)} runs, {len(study.runs) - len(runs)} of "
            f"them already in {directory}; to train: {len(runs)} runs in {len(batches)} batches",
        )
    _say(arguments, f"about {_duration(total)} on {n_jobs} workers")
    return 0


def _say(arguments: argparse.Namespace, text: str) -> None:
    if not arguments.quiet:
        with contextlib.suppress(BrokenPipeError):  # the runs matter, not who reads of them
            print(text, flush=True)


def _train(
    arguments: argparse.Namespace,
    argv: Sequence[str],
    study: Study,
    directory: Path,
    n_jobs: int,
) -> int:
    """Train what a directory lacks and tell about it; return how many runs failed."""
    from mlpspec.running import runner

    began = time.monotonic()
    before = len(runner.missing_runs(study, directory))
    results = runner.run_study(
        study,
        directory,
        n_jobs,
        fail_fast=arguments.fail_fast,
        progress=not arguments.quiet,
        command=["mlpspec", *argv],
        dask=arguments.dask,
    )
    asked = {run.key for run in study.runs}
    counts = Counter(status for key, status in results.status.items() if key in asked)
    told = ", ".join(f"{counts[status]} {status}" for status in ("ok", "diverged", "failed"))
    tried = before - (len(asked) - counts.total())
    trained = "nothing to train"
    if tried:
        trained = f"trained {tried} runs in {_duration(time.monotonic() - began)}"
    left = f", {len(asked) - counts.total()} not tried" if counts.total() < len(asked) else ""
    _say(arguments, f"{study.name}: {trained}; of {len(asked)} in {directory} {told}{left}")
    if arguments.settings and "record_every" in study.settings and not tried:
        bare = sum(not results.has_curve(key) for key in asked)
        if bare:
            print(
                f"mlpspec: {bare} runs were trained without record_every and have no curve; "
                "train them with --out in another directory to record them",
                file=sys.stderr,
            )
    if counts["failed"]:
        key, error = next((k, e) for k, e in results.errors.items() if k in asked)
        print(
            f"mlpspec: {counts['failed']} runs failed, the first ({key}) with: "
            f"{_last_line(error)}; see mlpspec status {shlex.quote(str(directory))}; "
            "the next run tries them again",
            file=sys.stderr,
        )
    return counts["failed"]


def _write_report(
    directory: Path, *, quiet: bool = False, formats: tuple[str, ...] = ("svg", "png")
) -> None:
    from mlpspec.report.report import Report

    report = Report(directory)
    path = report.write(formats)
    if not quiet:
        if report.analysis.verdicts:
            print(_verdict_lines(report.analysis.verdicts))
        print(f"report: {path}")


def _report(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    formats = ("svg", "png", "pdf") if arguments.pdf else ("svg", "png")
    _write_report(Path(arguments.directory), formats=formats)
    return 0


def _verify(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.analysis.analysis import Analysis

    verdicts = Analysis(arguments.directory).verdicts
    if not verdicts:
        raise InputError(
            f"{arguments.directory} holds no grid of the eight subsets, which the claims are about"
        )
    print(_verdict_lines(verdicts))
    stated = [verdict for verdict in verdicts if verdict.basis == "stated, means"]
    return 0 if all(verdict.verdict == "holds" for verdict in stated) else FAILED


def _verdict_lines(verdicts: Sequence[Verdict]) -> str:
    bases = list(dict.fromkeys(verdict.basis for verdict in verdicts))
    lines = [f"{'claim':66}" + "".join(f"{basis:17}" for basis in bases) + "repeats"]
    for claim in dict.fromkeys(verdict.claim for verdict in verdicts):
        own = {verdict.basis: verdict for verdict in verdicts if verdict.claim == claim}
        first = own[bases[0]]
        repeats = f"{first.repeat:.2f}" if first.repeat == first.repeat else ""
        text = f"{claim} {first.text}"
        lines.append(f"{text[:64]:66}" + "".join(f"{own[b].verdict:17}" for b in bases) + repeats)
    wanting = [v.reading for v in verdicts if v.verdict == "untested"]
    return "\n".join([*lines, *dict.fromkeys(f"untested: {reading}" for reading in wanting)])


def _check_loss(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.losses import check_loss
    from mlpspec.study.extensions import load_loss

    print(check_loss(load_loss(arguments.loss), neuron=arguments.neuron))
    return 0


def _loss_card(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.losses import check_loss
    from mlpspec.report import card, card_report
    from mlpspec.running import runner
    from mlpspec.study.extensions import load_loss

    loss = load_loss(arguments.loss)
    name = card.name_of(loss, arguments.name)
    checks = check_loss(loss)
    directory = Path(arguments.out or f"runs/loss-card-{name}")
    n_jobs = runner.count_jobs(arguments.jobs)
    forces = card.forces(loss)
    studies = {
        directory: card.study(loss, card.weight_unit(forces)),
        directory / "alone": card.alone_study(loss),
    }
    for place, study in studies.items():
        runner.missing_runs(study, place)  # both can be used, before anything is trained
    failed = sum(_train(arguments, argv, study, at, n_jobs) for at, study in studies.items())
    if failed:
        return FAILED  # a card shows all of its runs; the next call tries these again
    _say(arguments, f"card: {card_report.write(directory, name, checks, forces)}")
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _chosen_study(arguments: argparse.Namespace) -> tuple[Study, dict[str, Any]]:
    """Return the study that was asked for, and how it differs from the one of that name."""
    from mlpspec.studies import STUDIES
    from mlpspec.study.run import EXTENDABLE, SETTINGS
    from mlpspec.study.study import Study

    name = arguments.study
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise InputError(f"there is no file {name}")
        try:
            study = runpy.run_path(name).get("STUDY")
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(f"{name} fails with {type(error).__name__}: {error}") from None
        if not isinstance(study, Study):
            raise InputError(f"{name} defines no STUDY; it must hold STUDY = mlpspec.Study(...)")
    elif name in STUDIES:
        study = STUDIES[name]()
    else:
        raise unknown("study", name, STUDIES)
    changes: dict[str, Any] = {}
    if arguments.seeds is not None:
        changes["seed"] = _seeds(arguments.seeds)
    if arguments.sizes is not None:
        changes["n_samples"] = _numbers("sizes", arguments.sizes)
    for item in arguments.settings:
        field, given, value = item.partition("=")
        if not given:
            raise InputError(f"--set has {item!r}; settings look like NAME=VALUE")
        if field in EXTENDABLE:
            option = {"seed": "--seeds", "n_samples": "--sizes"}.get(field, "a study file")
            raise InputError(f"{field} is no setting of all runs; use {option}")
        if field not in SETTINGS:
            raise unknown("setting", field, set(SETTINGS) - set(EXTENDABLE))
        if field in changes:
            raise InputError(f"--set gives {field} twice; keep one")
        changes[field] = value
    study = study.replace(**changes)
    if arguments.losses or arguments.subsets is not None:
        from mlpspec.study.extensions import named_loss

        own = [named_loss(text) for text in arguments.losses]
        if len(dict(own)) < len(own):
            raise InputError(f"--loss gives {own[-1][0]} twice; give each loss its own name")
        _warn_of_faults([text.partition("=")[2] for text in arguments.losses], study)
        which = "all" if arguments.subsets is None else arguments.subsets
        study = study.with_losses(dict(own), which)
    return study, changes


def _warn_of_faults(losses: Sequence[str], study: Study) -> None:
    """Check losses as check-loss does; what fails is trained all the same, but not unnoticed."""
    neuron = str(study.settings.get("neuron", "ridge"))
    for text in losses:
        # In a process of its own: what a loss does to the one that it runs in is not foreseeable.
        command = [sys.executable, "-m", "mlpspec", "check-loss", text, "--neuron", neuron]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode or not done.stdout:
            first = next(iter(done.stderr.splitlines()), f"{text} ends the process that runs it")
            told = _line(first.removeprefix("mlpspec: error: "))
            print(f"mlpspec: warning: {told}; see mlpspec check-loss", file=sys.stderr)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _seeds(text: str) -> tuple[int, ...]:
    from mlpspec.study.study import MOST_RUNS

    first, is_range, last = text.partition(":")
    if not is_range:
        return _numbers("seeds", text, "0:10 or 0,3,7")
    try:
        start, stop = int(first or 0), int(last)
    except ValueError:
        raise InputError(f"--seeds is {text!r}; it must look like 0:10 or 0,3,7") from None
    if stop <= start:
        raise InputError(f"--seeds is {text!r}, which is empty; the second number must be larger")
    if stop - start > MOST_RUNS:
        raise InputError(f"--seeds is {text!r}; the limit is {MOST_RUNS} runs")
    return tuple(range(start, stop))


def _numbers(option: str, text: str, like: str = "3,5,10") -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"--{option} is {text!r}; it must look like {like}") from None


def _status(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.store.results import load

    results = load(arguments.directory)
    study, status = results.study, results.status
    asked = [status.get(run.key, "missing") for run in study.runs]
    counts = Counter(status.values())
    last = results.sessions[-1]
    settings = ", ".join(f"{name}={value}" for name, value in study.settings.items()) or "defaults"
    print(_shown(f"study     {study.name}: {study.question}"))
    print(_shown(f"settings  {settings}"))
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
    for number, (key, error) in enumerate(list(results.errors.items())[:5]):
        print(f"failed    {key}: {_last_line(error)}")
        if number == 0:
            print("".join(f"          {_shown(li)}\n" for li in error.strip().splitlines()), end="")
    return 0


def _export(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.store.results import load

    for path in load(arguments.directory).export(arguments.format):
        print(path)
    return 0


def _recover(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.store.recovery import recover
    from mlpspec.store.results import load

    found = recover(arguments.directory, arguments.out)
    load(arguments.out).write_tables()
    lost = "how many are lost is not known" if found.unknown else f"{found.lost} are lost"
    print(f"{arguments.out} has {found.runs} runs of {arguments.directory}; {lost}")
    if found.unchecked:
        print(f"{found.unchecked} of them carry no checksum and were taken as they are")
    print(f"continue with: mlpspec run STUDY ... --out {shlex.quote(arguments.out)}")
    return FAILED if found.lost or found.unknown else 0


def _studies(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from mlpspec.data.datasets import COLUMN, DATASETS, FILE, TARGETS, FileData
    from mlpspec.data.spec import Call
    from mlpspec.studies import STUDIES
    from mlpspec.study.run import EXTENDABLE, SETTINGS

    print("studies")
    for name, describe in STUDIES.items():
        study = describe()
        print(f"  {name:16} {len(study.runs):5} runs  {study.question}")
    print("settings (--set NAME=VALUE)")
    for name, setting in SETTINGS.items():
        if name not in EXTENDABLE:
            choices = f" ({', '.join(setting.names)})" if setting.names else ""
            if ", or " in setting.help or setting.name == "start":
                choices = ""
            print(f"  {name:16} {setting.default!s:18} {setting.help}{choices}")
    print("data sets (--set dataset=NAME, with other arguments if need be)")
    for name, kind in DATASETS.items():
        call = str(Call(name, (), {argument.name: argument.default for argument in fields(kind)}))
        print(f"  {call:35} {_first_line(kind)}")
    print(f"  {FILE + 'PATH.csv':35} {_first_line(FileData)}")
    print("targets (--set target=NAME)")
    for name, function in TARGETS.items():
        print(f"  {name:35} {_first_line(function)}")
    print(f"  {COLUMN + 'NAME':35} a column of the file, scaled as one input is")
    return 0


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").splitlines()[0]


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
