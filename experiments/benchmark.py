"""How fast does mlpspec train, beside JAX, PyTorch, the exponentials alone and an older mlpspec?

Each mlpspec is timed as its users run it, as the command `mlpspec run`, with the compiled engine
(``mlpspec[fast]``) and with NumPy alone; the time of a step is the difference of two commands of
which one takes more steps. ``--before DIR`` adds another checkout, which is timed in the same way.

First it is shown that all contenders do the same work: after a few dozen steps of the paper grid,
480 runs in double precision, the objectives of all runs agree to 1e-6. Then they are timed in
turn, round after round, and compared with the floor: nothing but the exponentials of a step (N K
responses a run, N K more where coverage is active, K (K - 1) / 2 where separation is), taken by
``numpy.exp`` in cache on as many processes. More tables give time and memory against N and against
the number of runs, the time with a loss of one's own, the whole command, and compilation.

    pip install -e '.[bench]'            # numba and the peers, JAX and PyTorch; may be absent
    python experiments/benchmark.py      # a quarter of an hour or more; --quick: two minutes

writes ``benchmark.json`` and a figure into ``results/benchmark``.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from contenders import (
    ENGINE,
    HERE,
    OWN_LOSS,
    Command,
    Contender,
    Floor,
    Jax,
    Torch,
    Trainer,
    exponentials,
)

import mlpspec
from mlpspec.losses import BUILT_IN
from mlpspec.running import provenance
from mlpspec.study.run import Run
from mlpspec.study.study import Study

STUDY = mlpspec.studies.paper()

WORKERS = 2
JOBS = (1, WORKERS)
ENGINES = ("numpy", "compiled") if ENGINE == "compiled" else ("numpy",)
STEPS = {"numpy": 600, "compiled": 3000}
"""Steps of the grid that are timed."""
ALL = "+".join(BUILT_IN)
SPACING = {"temperature_unit": "spacing", "temperature": 1.0}
GROWTH: tuple[tuple[str, dict[str, Any]], ...] = (
    ("baseline", {}),
    ("coverage", {}),
    ("overlap", {}),
    (ALL, {}),
    ("coverage", SPACING),
    (ALL, SPACING),
)
"""Losses and temperatures whose time against N is measured."""
SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000)
TIMED = ("this", "before")
BEFORE_SIZES = (200, 1000, 2000)
"""Sizes at which an older version is measured too."""
RIDDEN = (3, 10, 20, 50, 100)
COUNTS = (48, 480, 4800, 48000)

WORK = "the same work: objectives after 50 steps"
RACE = "one step of all runs"
SIZE = "against N: a step of one run, one process"
EXPONENTS = "growth exponents of time in N, from 200 on"
RIDING = "with a loss of one's own, one process"
RUNS = "against the number of runs: N = 10, eight subsets, one process"
WHOLE = "the whole command, two workers"
COMPILATION = "the kernel in a process of its own"
AGREEMENT = 1e-6
"""Largest relative difference of final objectives at which contenders do the same work."""


@dataclass
class Report:
    """What was measured, and printed as it came in."""

    content: dict[str, Any] = field(default_factory=dict)

    def table(self, title: str, rows: list[dict[str, Any]]) -> None:
        """Keep a table and print it."""
        self.content[title] = rows
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = [names, *([_short(row.get(name, "")) for name in names] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        print(f"\n{title}")
        for line in lines:
            cells = (
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            print("  ".join(cells).rstrip(), flush=True)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def contenders_of(study: Study, before: Path | None, quick: bool) -> list[Contender]:
    """Return all contenders that this machine has the packages for.

    Each is timed over more than a second, so that none profits from a quiet moment.
    """
    more = 1 if quick else 5
    found: list[Contender] = [
        *(Command(study, STEPS[engine], engine, jobs) for engine, jobs in product(ENGINES, JOBS)),
        *(Command(study, STEPS[one], one, WORKERS, before) for one in ENGINES if before),
        Floor(study, 1, 0.1 if quick else 2.0),
        Floor(study, WORKERS, 0.1 if quick else 2.0),
    ]
    makers: list[tuple[str, Callable[[], Contender]]] = [
        ("jax", lambda: Jax(study, 50, more, False)),
        ("jax", lambda: Jax(study, 50, more, True)),
        ("torch", lambda: Torch(study, 5 * more, True)),
        ("torch", lambda: Torch(study, 5 * more, False)),
    ]
    for package, make in makers:
        try:
            import_module(package)
        except ImportError:
            print(f"{package} is not installed and is left out; pip install -e '.[bench]' has it")
        else:
            found.append(make())
    return found


def same_work(contenders: Sequence[Contender], steps: int) -> list[dict[str, Any]]:
    """Return how far the trainers' objectives are from the first one's; raise if too far."""
    reference: dict[Run, float] = {}
    rows = []
    for contender in contenders:
        if not isinstance(contender, Trainer):
            continue
        own = contender.objectives(steps)
        reference = reference or own
        worst = max(abs(own[run] / reference[run] - 1) for run in own)
        rows.append({"contender": contender.name, "runs": len(own), "worst difference": worst})
        if not worst < AGREEMENT:
            raise SystemExit(f"{contender.name} does other work: objectives differ by {worst:.2g}")
    return rows


def race(contenders: Sequence[Contender], rounds: int) -> list[dict[str, Any]]:
    """Return the milliseconds of a step of each contender, measured in turn.

    Ratios are over this version with two workers and the faster engine: of the least times, to
    which other programs on the machine add least, and of the medians.
    """
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            times[contender.name].append(contender.seconds())
    rows: list[dict[str, Any]] = []
    for contender in contenders:
        row: dict[str, Any] = {
            "contender": contender.name,
            "cores": contender.cores,
            "ms a step": 1e3 * min(times[contender.name]),
            "median": 1e3 * float(np.median(times[contender.name])),
            "most": 1e3 * max(times[contender.name]),
            "compilation s": contender.preparation,
        }
        rows.append(row)
    ours = next(row for row in rows if row["contender"] == Command(STUDY, 0, n_jobs=WORKERS).name)
    for row in rows:
        row["over ours"] = row["ms a step"] / ours["ms a step"]
        row["of medians"] = row["median"] / ours["median"]
    return sorted(rows, key=lambda row: -row["ms a step"])


def beside(study: Study, steps: int, before: Path | None, rounds: int) -> dict[str, Any]:
    """Return seconds of a step and memory, of the older version too if there is one.

    Seconds are medians; versions take turns.
    """
    commands = [Command(study, steps, checkout=one) for one in (HERE, before) if one]
    times = [[command.seconds() for command in commands] for _ in range(rounds)]
    ours, *older = np.median(times, axis=0).tolist()
    found = {"this": ours, "peak MB": commands[0].peak}
    if older:
        found |= {"before": older[0], "peak MB before": commands[1].peak}
        found["before over this"] = older[0] / ours
    return found


def against_size(
    kinds: Sequence[tuple[str, dict[str, Any]]],
    sizes: Sequence[int],
    before: Path | None,
    also: Sequence[int],
    steps: int,
    budget: float,
    rounds: int,
) -> list[dict[str, Any]]:
    """Return time and memory against N, of the older version for the sizes ``also``.

    All train for the same number of steps, because the time of a step changes while neurons move;
    where N is small, more runs make up ``budget`` seconds.
    """
    rows = []
    for (label, settings), size in product(kinds, sizes):
        one = STUDY.replace(losses=(label,), n_samples=(size,), seed=(0,), **settings)
        count = max(1, int(budget / steps / (2e-9 * exponentials(one) + 1e-6)))
        row = {"losses": label, "tau": "1 spacing^2" if settings else "0.01", "N": size}
        older = before if size in also else None
        found = beside(one.replace(seed=range(count)), steps, older, rounds)
        rows.append({**row, "runs": count, **in_units("us", found, 1e6 / count)})
    return rows


def in_units(unit: str, found: dict[str, Any], scale: float) -> dict[str, Any]:
    """Return what `beside` found with its times in a unit."""
    times = {f"{who}, {unit} a step": scale * found[who] for who in TIMED if who in found}
    return times | {name: value for name, value in found.items() if name not in TIMED}


def exponents(rows: Sequence[dict[str, Any]], least: float) -> list[dict[str, Any]]:
    """Return the growth exponents of time in N for each kind of losses and temperature."""
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["losses"], row["tau"]), []).append(row)
    found: list[dict[str, Any]] = []
    for (losses, tau), kind in kinds.items():
        found.append({"losses": losses, "tau": tau})
        for who in TIMED:
            name = f"{who}, us a step"
            some = [row for row in kind if name in row]
            if some:
                found[-1][who] = exponent(some, "N", name, least)
    return found


def riding(
    sizes: Sequence[int], seeds: int, before: Path | None, budget: float, rounds: int
) -> list[dict[str, Any]]:
    """Return the time with the loss of ``custom_loss.py``, in all subsets that have it."""
    own = runpy.run_path(str(OWN_LOSS))["STUDY"]
    subsets = [losses for losses in own.axes["losses"] if "anchored" in losses]
    rows = []
    for size in sizes:
        study = own.replace(losses=subsets, n_samples=(size,), seed=range(seeds))
        found = beside(study, steps_of(study, budget), before, rounds)
        rows.append({"N": size, "runs": len(study.runs), **in_units("ms", found, 1e3)})
    return rows


def steps_of(study: Study, budget: float) -> int:
    """Return how many steps of a study take about so many seconds."""
    return max(10, int(budget / (5e-9 * exponentials(study) + 1e-4)))


def against_runs(counts: Sequence[int], budget: float) -> list[dict[str, Any]]:
    """Return time and memory against the number of runs: N = 10, eight subsets, one process."""
    rows = []
    for count in counts:
        study = STUDY.replace(n_samples=(10,), seed=range(count // 8))
        # Enough that what is done once a run, whose time varies, is not most of it.
        command = Command(study, max(count // 48, steps_of(study, budget)))
        step = command.seconds()
        rows.append(
            {
                "runs": count,
                "ms a step": 1e3 * step,
                "us a run and step": 1e6 * step / count,
                "s of all but steps": command.once,
                "peak MB": command.peak,
            }
        )
    return rows


def whole(study: Study, before: Path | None, steps: int, rounds: int) -> list[dict[str, Any]]:
    """Return the seconds of the command that runs a study, medians, and the share of all but steps.

    That is what the same command takes for a single step.
    """
    checkouts = [HERE, *([before] if before else [])]
    commands = [Command(study, steps, *one) for one in product(ENGINES, (WORKERS,), checkouts)]
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for command, count in product(commands, (steps, 1)):
            seconds.setdefault((command.name, count), []).append(command.run(count)[0])
    rows = []
    for command in commands:
        all_, one = (float(np.median(seconds[command.name, count])) for count in (steps, 1))
        rows.append(
            {
                "contender": command.name,
                "runs": len(study.runs),
                "steps": steps,
                "seconds": all_,
                "of one step": one,
                "share of all but steps": one / all_,
                "peak MB of a process": command.peak,
            }
        )
    return rows


def compilation() -> list[dict[str, Any]]:
    """Return the seconds of a new process until the kernel is there: compiled, then loaded."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for cache_is in ("empty", "filled"):
            done = subprocess.run(
                [sys.executable, "-c", LOADING],
                env={**os.environ, "PYTHONPATH": str(HERE), "NUMBA_CACHE_DIR": place},
                check=True,
                stdout=subprocess.PIPE,
            )
            imported, loaded = json.loads(done.stdout)
            rows.append({"cache": cache_is, "numba's import s": imported, "the kernel s": loaded})
    return rows


LOADING = """
import time
import mlpspec.training.compiled

began = time.perf_counter()
import numba
imported = time.perf_counter()
mlpspec.training.compiled.load()
print([imported - began, time.perf_counter() - imported])
"""
"""Prints the seconds that a process takes for numba, and for the kernel."""


def exponent(rows: Sequence[dict[str, Any]], x: str, y: str, least: float = 0) -> float:
    """Return the slope of log y over log x by least squares, from ``least`` on."""
    points = [(row[x], row[y]) for row in rows if row[x] >= least and row[y] > 0]
    if len(points) < 2:
        return np.nan
    logs = np.log(np.array(points))
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def columns(rows: Sequence[dict[str, Any]], *names: str) -> list[list[float]]:
    """Return some columns of a table."""
    return [[row[name] for row in rows] for name in names]


def draw(content: dict[str, Any]) -> Any:
    """Return the figure: contenders, and time against N and against runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 2.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(2.2, 1, 1))
    rows = content[RACE]
    names = [row["contender"] for row in rows]
    times = [row["ms a step"] for row in rows]
    colours = ["#0072B2" if name.startswith("mlpspec") else "#999999" for name in names]
    left.scatter(times, names, color=colours, s=22, zorder=2)  # a log axis has no zero for bars
    left.set(xscale="log", xlabel="ms a step of the whole grid")
    left.grid(axis="y", color="#DDDDDD", lw=0.6, zorder=0)
    for place, value in enumerate(times):
        left.annotate(f"   {value:.3g}", (value, place), va="center", fontsize=7)
    left.margins(x=0.2)
    for losses in dict.fromkeys(row["losses"] for row in content[SIZE]):
        kind = [row for row in content[SIZE] if (row["losses"], row["tau"]) == (losses, "0.01")]
        label = {"baseline": "none", ALL: "all"}.get(losses, losses)
        middle.loglog(*columns(kind, "N", "this, us a step"), "o-", ms=3, label=label)
    middle.legend(fontsize=6, frameon=False)
    middle.set(xlabel="N", ylabel="µs a run and step")
    right.loglog(*columns(content[RUNS], "runs", "ms a step"), "o-", ms=3)
    right.set(xlabel="runs", ylabel="ms a step")
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=7)
        ax.xaxis.label.set_size(8)
        ax.yaxis.label.set_size(8)
    return figure


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--before", type=Path, metavar="DIR", help="a checkout of an older version")
    parser.add_argument("--rounds", type=int, default=5, help="of the race")
    parser.add_argument("--quick", action="store_true", help="small and short, to see that it runs")
    parser.add_argument("--only", choices=("race", "growth"), help="one half of the benchmark")
    parser.add_argument("--out", type=Path, default=Path("results/benchmark"))
    arguments = parser.parse_args(argv)
    quick, before, out = arguments.quick, arguments.before, arguments.out
    if before and not (before / "mlpspec").is_dir():
        parser.error(f"--before is {before}, which holds no folder mlpspec; give a checkout of it")

    # Halves that are measured at different times lie side by side in one file.
    path = out / "benchmark.json"
    report = Report(json.loads(path.read_text()) if arguments.only and path.exists() else {})
    report.content["machine"] = provenance.collect([], ENGINE)
    if arguments.only != "growth":
        study = STUDY.replace(n_samples=(3, 5), seed=range(2)) if quick else STUDY
        contenders = contenders_of(study, before, quick)
        report.table(WORK, same_work(contenders, 50))
        report.table(RACE, race(contenders, 1 if quick else arguments.rounds))
        report.table(WHOLE, whole(study, before, 50 if quick else 3000, 1 if quick else 3))
    if arguments.only != "race":
        if ENGINE == "compiled":
            report.table(COMPILATION, compilation())
        if quick:
            # Steps that start and end do not drown, so that no command is timed again.
            report.table(SIZE, against_size(GROWTH[3::2], (10, 20), before, (20,), 5000, 0.3, 1))
            report.table(RIDING, riding((3,), 1, before, 0.3, 1))
            report.table(RUNS, against_runs((48, 96), 0.5))
        else:
            report.table(SIZE, against_size(GROWTH, SIZES, before, BEFORE_SIZES, 500, 1.0, 1))
            report.table(RIDING, riding(RIDDEN, 10, before, 2.0, 1))
            report.table(RUNS, against_runs(COUNTS, 2.0))
        report.table(EXPONENTS, exponents(report.content[SIZE], 0 if quick else 200))
    out.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        json.dump(report.content, file, indent=1)
        file.write("\n")
    if {RACE, SIZE, RUNS} <= set(report.content):
        for ending in ("svg", "png"):
            draw(report.content).savefig(out / f"benchmark.{ending}", dpi=200)


if __name__ == "__main__":
    main()
