"""The commands about one results directory that train nothing, and ``studies``."""

from __future__ import annotations

import math
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlpspec.cli.terminal import FAILED, last_line, put
from mlpspec.compress import COMPRESSIONS
from mlpspec.data.datasets import COLUMN, DATASETS, FILE, TARGETS, FileData
from mlpspec.data.held import HELD, RUN
from mlpspec.data.spec import Call, numbers_of
from mlpspec.errors import InputError
from mlpspec.network.initializers import INITIALIZERS
from mlpspec.network.neurons import KINDS
from mlpspec.shown import counted
from mlpspec.store import recovery
from mlpspec.store.database import has_store, in_use
from mlpspec.store.environment import constraints
from mlpspec.store.results import Results, load
from mlpspec.store.tables import replacing
from mlpspec.studies import STUDIES
from mlpspec.study.run import EXTENDABLE, SETTINGS
from mlpspec.training.optimizers import OPTIMIZERS
from mlpspec.training.schedules import SCHEDULES
from mlpspec.training.stopping import STOPPINGS

if TYPE_CHECKING:
    from mlpspec.analysis.claims import Verdict


REFRESHED = 2.0
"""Seconds between two looks at a directory that is watched, at least."""


def status(arguments: Namespace) -> int:
    """Print what a results directory holds; with ``--watch`` again until its study is complete."""
    if arguments.watch:
        return _watch(Path(arguments.directory))
    _put_status(load(arguments.directory))
    return 0


def _watch(directory: Path) -> int:
    """Print how far a study is, anew or on further lines, until no run of it is missing."""
    said = ""
    while True:
        began = time.monotonic()
        writing = in_use(directory)  # a session begins with its first results
        waiting = writing and not has_store(directory)
        results = None if waiting else load(directory)
        asked = _asked(results) if results else ["missing"]
        text = "nothing is stored yet"
        if results:
            done = len(asked) - asked.count("missing")
            text = f"{done} of {len(asked)} runs, {asked.count('failed')} failed"
        if sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")  # clear the screen, from its upper left corner
            if results:
                _put_status(results)
            put(f"watching  {text}; Ctrl-C ends this, not the study")
        elif text != said:
            put(f"{directory}: {text}")
        said = text
        if "missing" not in asked and not writing:
            return 0
        time.sleep(max(REFRESHED, 4.0 * (time.monotonic() - began)))  # large stores take a while


def _asked(results: Results) -> list[str]:
    """Return the status, or ``missing``, of each run that the last session was asked for."""
    status = results.status
    return [status.get(key, "missing") for key in results.keys_of(results.study.runs)]


def _put_status(results: Results) -> None:
    study, status, asked = results.study, results.status, _asked(results)
    last = results.last_session
    settings = ", ".join(f"{name}={value}" for name, value in study.settings.items()) or "defaults"
    put(f"study     {study.name}: {study.question}", f"settings  {settings}")
    put(f"runs      {len(status)} in {results.directory}: {counted(status.values())}")
    for number, (key, first) in enumerate(results.repeats.items()):
        if number == 0:
            put(
                f"repeated  {len(results.repeats)} more results are of runs that are stored again "
                "under the key of another form of their settings; they are kept, but count nowhere:"
            )
        put(f"          {key}, which repeats {first}")
    put(
        f"asked     {len(asked)} by the last session: {asked.count('missing')} missing, "
        f"{asked.count('failed')} failed"
    )
    ended = last["ended"] or "(running, or killed)"
    made = next((s for s in reversed(results.sessions) if s["runs"]), last)  # merging trains none
    put(
        f"sessions  {len(results.sessions)}; the last {last['started']} to {ended}",
        f"made with mlpspec {made['mlpspec']}, numpy {made['numpy']}, Python {made['python']}, "
        f"{made['jobs']} jobs on {made['processor']}",
    )
    for number, (key, error) in enumerate(list(results.errors.items())[:5]):
        put(f"failed    {key}: {last_line(error)}")
        if number == 0:
            put(*(f"          {line}" for line in error.strip().splitlines()))


def report(arguments: Namespace) -> int:
    """Make tables, figures and the page anew."""
    formats = ("svg", "png", "pdf") if arguments.pdf else ("svg", "png")
    write_report(Path(arguments.directory), formats=formats)
    return 0


def write_report(
    directory: Path, *, quiet: bool = False, formats: tuple[str, ...] = ("svg", "png")
) -> None:
    """Write the report of a directory, and print its verdicts and where it is."""
    from mlpspec.analysis.survival import survival_lines
    from mlpspec.report.report import Report

    report = Report(directory)
    path = report.write(formats)
    if not quiet:
        if report.analysis.verdicts:
            put(*_verdict_lines(report.analysis.verdicts))
        if report.analysis.survival:
            put(*survival_lines(report.analysis.survival))
        put(f"explorer: {path.with_name('explore.html')}", f"report: {path}")


def verify(arguments: Namespace) -> int:
    """Print the verdicts on the claims; fail if a stated one does not hold."""
    from mlpspec.analysis.analysis import GRIDS, Analysis

    analysis = Analysis(arguments.directory)
    verdicts = analysis.verdicts
    if not verdicts:
        raise InputError(
            f"{arguments.directory} holds no grid of the eight subsets in which nothing else "
            "varies, which the claims are judged on: it is of the study "
            f"{analysis.results.study.name}, not of {', '.join(GRIDS)} or collapse"
        )
    put(*_verdict_lines(verdicts))
    stated = [verdict for verdict in verdicts if verdict.basis == "stated, means"]
    return 0 if all(verdict.verdict == "holds" for verdict in stated) else FAILED


def _verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a line a claim, with a mark for every N, and what the marks mean."""
    from mlpspec.analysis.claims import FOUND

    bases = list(dict.fromkeys(verdict.basis for verdict in verdicts))
    sizes = sorted({size for verdict in verdicts for size in verdict.found_at})
    marks = FOUND if _can_show("".join(FOUND.values())) else dict(zip(FOUND, "+.x", strict=True))
    width = max(len(sizes) + 15, 17)
    lines = ["claim " + "".join(f"{basis:{width}}" for basis in bases) + "repeats"]
    for claim in dict.fromkeys(verdict.claim for verdict in verdicts):
        by_basis = {verdict.basis: verdict for verdict in verdicts if verdict.claim == claim}
        first = by_basis[bases[0]]
        columns = ""
        for verdict in (by_basis[basis] for basis in bases):
            found = verdict.found_at
            strip = "".join(marks[found[size]] if size in found else " " for size in sizes)
            columns += f"{strip} {verdict.verdict}".ljust(width)
        repeats = f"{first.repeat:.2f}" if first.repeat == first.repeat else ""
        lines.append(f"{claim:6}{columns}{repeats:9}{first.text}")
    wanting = [v.reading for v in verdicts if v.verdict == "untested"]
    lines += dict.fromkeys(f"untested: {reading}" for reading in wanting)
    if sizes:
        legend = ", ".join(f"{mark} {word}" for word, mark in marks.items())
        both = " (C3: lower, not, higher)" if any(v.claim == "C3" for v in verdicts) else ""
        lines.append(f"marks: at N = {', '.join(map(str, sizes))}; {legend}{both}")
    if any(verdict.repeat == verdict.repeat for verdict in verdicts):
        judged = any(v.basis == "calibrated" and v.verdict != "untested" for v in verdicts)
        drawn = "confirm (of C8 its own)" if judged else "those judged here, drawn again,"
        lines.append(f"repeats: how often ten seeds of {drawn} give the same stated verdict")
    return lines


def _can_show(text: str) -> bool:
    """Return whether standard output has all characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def recover(arguments: Namespace) -> int:
    """Save what is intact in a damaged directory; fail if anything is lost."""
    found = recovery.recover(arguments.directory, arguments.out)
    saved = load(arguments.out)
    saved.write_tables()
    needed = set[str]().union(*(run.held for run in saved.runs.values()))
    networks = sorted(content for content in needed - HELD.keys() if ":" in content)
    lost = "how many are lost is not known" if found.unknown else f"{found.lost} are lost"
    put(f"{arguments.out} has {found.runs} runs of {arguments.directory}; {lost}")
    if found.unchecked:
        put(f"{found.unchecked} of them carry no checksum and were taken as they are")
    if networks:
        put(
            f"lost too: parameters that runs start from or learn ({', '.join(networks)}), without "
            "which no report is made and no run added; add a seed, with start or target set to "
            "run:DIRECTORY/KEY of the directory that has them"
        )
    put(f"continue with: mlpspec run STUDY ... --out {shlex.quote(arguments.out)}")
    return FAILED if found.lost or found.unknown or networks else 0


def export(arguments: Namespace) -> int:
    """Write the results in another format and print the paths, or what a session ran with."""
    if not arguments.environment:
        if arguments.session is not None or arguments.out is not None:
            raise InputError("--session and --out belong to --environment; leave them out")
        put(*map(str, load(arguments.directory).export(arguments.format)))
        return 0
    results = load(arguments.directory)
    sessions = {session["session"]: session for session in results.sessions}
    last = results.last_session["session"]
    number = last if arguments.session is None else arguments.session
    if number not in sessions:
        raise InputError(f"{arguments.directory} has no session {number}; it has 1 to {last}")
    text = constraints(sessions[number])
    if arguments.out is None:
        put(*text.splitlines())
    else:
        place = Path(arguments.out)
        if not arguments.out or place.is_dir() or not place.parent.is_dir():
            raise InputError(
                f"--out is {arguments.out!r}; give the name of a file in a directory that is there"
            )
        with replacing(place) as file:
            file.write(text)
        put(arguments.out)
    return 0


DESCRIBED: dict[str, Mapping[str, Callable[..., object]]] = {
    "neuron": KINDS,
    "initializer": INITIALIZERS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "early_stopping": STOPPINGS,
    "compress": COMPRESSIONS,
    "dataset": DATASETS,
}
"""Settings whose values are a name and numbers."""


def studies(arguments: Namespace) -> int:
    """Print the named studies, the settings, the data sets and the targets."""
    put("studies")
    for name, describe in STUDIES.items():
        study = describe()
        count = math.prod(map(len, study.axes.values())) * max(1, len(study.variants))
        put(f"  {name:16} {count:5} runs  {study.question}")
        if study.variants:
            put(f"  {'':16} {len(study.variants):5} variants: {_some(list(study.variants))}")
    put("settings (--set NAME=VALUE)")
    for name, setting in SETTINGS.items():
        if name not in EXTENDABLE:
            explained = ", or " in setting.help
            choices = f" ({', '.join(setting.names)})" if setting.names and not explained else ""
            put(f"  {name:22} {setting.default!s:18} {setting.help}{choices}")
    for kind, known in DESCRIBED.items():
        put(f"{kind} (--set {kind}=NAME, with other numbers if need be)")
        for name, described in known.items():
            call = Call(name, kwargs=numbers_of(described, "learning_rate"))
            what = _first_line(described).removeprefix("Return ").partition(";")[0].rstrip(".")
            put(f"  {call!s:56} {what}")
    put(f"  {FILE + 'PATH.csv':56} {_first_line(FileData)}")
    put("targets (--set target=NAME)")
    for name, function in TARGETS.items():
        put(f"  {name:56} {_first_line(function)}")
    put(f"  {COLUMN + 'NAME':56} a column of the file, scaled as one input is")
    put(f"  {RUN + 'DIRECTORY/KEY':56} the outputs of the network at the end of another run")
    return 0


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").splitlines()[0]
