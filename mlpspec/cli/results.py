"""The commands that train nothing: ``status report verify recover export studies``."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from mlpspec.cli.terminal import FAILED, last_line, shown
from mlpspec.data.datasets import COLUMN, DATASETS, FILE, TARGETS, FileData
from mlpspec.data.spec import Call
from mlpspec.errors import InputError
from mlpspec.store import recovery
from mlpspec.store.results import load
from mlpspec.studies import STUDIES
from mlpspec.study.run import EXTENDABLE, SETTINGS

if TYPE_CHECKING:
    from mlpspec.analysis.claims import Verdict


def status(arguments: Namespace) -> int:
    """Print what a results directory holds."""
    results = load(arguments.directory)
    study, status = results.study, results.status
    asked = [status.get(run.key, "missing") for run in study.runs]
    counts = Counter(status.values())
    last = results.sessions[-1]
    settings = ", ".join(f"{name}={value}" for name, value in study.settings.items()) or "defaults"
    print(shown(f"study     {study.name}: {study.question}"))
    print(shown(f"settings  {settings}"))
    counted = ", ".join(f"{counts[name]} {name}" for name in ("ok", "diverged", "failed"))
    print(f"runs      {len(status)} in {results.directory}: {counted}")
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
        print(f"failed    {key}: {last_line(error)}")
        if number == 0:
            print("".join(f"          {shown(li)}\n" for li in error.strip().splitlines()), end="")
    return 0


def report(arguments: Namespace) -> int:
    """Make tables, figures and the page anew."""
    formats = ("svg", "png", "pdf") if arguments.pdf else ("svg", "png")
    write_report(Path(arguments.directory), formats=formats)
    return 0


def write_report(
    directory: Path, *, quiet: bool = False, formats: tuple[str, ...] = ("svg", "png")
) -> None:
    """Write the report of a directory, and print its verdicts and where it is."""
    from mlpspec.report.report import Report

    report = Report(directory)
    path = report.write(formats)
    if not quiet:
        if report.analysis.verdicts:
            print(_verdict_lines(report.analysis.verdicts))
        print(f"report: {path}")


def verify(arguments: Namespace) -> int:
    """Print the verdicts on the claims; fail if a stated one does not hold."""
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
        by_basis = {verdict.basis: verdict for verdict in verdicts if verdict.claim == claim}
        first = by_basis[bases[0]]
        repeats = f"{first.repeat:.2f}" if first.repeat == first.repeat else ""
        text = f"{claim} {first.text}"
        columns = "".join(f"{by_basis[basis].verdict:17}" for basis in bases)
        lines.append(f"{text[:64]:66}{columns}{repeats}")
    wanting = [v.reading for v in verdicts if v.verdict == "untested"]
    return "\n".join([*lines, *dict.fromkeys(f"untested: {reading}" for reading in wanting)])


def recover(arguments: Namespace) -> int:
    """Save what is intact in a damaged directory; fail if anything is lost."""
    found = recovery.recover(arguments.directory, arguments.out)
    load(arguments.out).write_tables()
    lost = "how many are lost is not known" if found.unknown else f"{found.lost} are lost"
    print(f"{arguments.out} has {found.runs} runs of {arguments.directory}; {lost}")
    if found.unchecked:
        print(f"{found.unchecked} of them carry no checksum and were taken as they are")
    print(f"continue with: mlpspec run STUDY ... --out {shlex.quote(arguments.out)}")
    return FAILED if found.lost or found.unknown else 0


def export(arguments: Namespace) -> int:
    """Write the results in another format and print the paths."""
    for path in load(arguments.directory).export(arguments.format):
        print(path)
    return 0


def studies(arguments: Namespace) -> int:
    """Print the named studies, the settings, the data sets and the targets."""
    print("studies")
    for name, describe in STUDIES.items():
        study = describe()
        print(f"  {name:16} {len(study.runs):5} runs  {study.question}")
    print("settings (--set NAME=VALUE)")
    for name, setting in SETTINGS.items():
        if name not in EXTENDABLE:
            explained = name == "start" or ", or " in setting.help
            choices = f" ({', '.join(setting.names)})" if setting.names and not explained else ""
            print(f"  {name:16} {setting.default!s:18} {setting.help}{choices}")
    print("data sets (--set dataset=NAME, with other arguments if need be)")
    for name, dataset in DATASETS.items():
        call = Call(name, kwargs={argument.name: argument.default for argument in fields(dataset)})
        print(f"  {call!s:35} {_first_line(dataset)}")
    print(f"  {FILE + 'PATH.csv':35} {_first_line(FileData)}")
    print("targets (--set target=NAME)")
    for name, function in TARGETS.items():
        print(f"  {name:35} {_first_line(function)}")
    print(f"  {COLUMN + 'NAME':35} a column of the file, scaled as one input is")
    return 0


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").splitlines()[0]
