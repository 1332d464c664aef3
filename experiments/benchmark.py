"""How fast does the paper grid train, beside JAX, PyTorch and the exponentials alone?

The 480 runs in double precision, one step of all of them at a time: the same data, start,
objective and Adam in every contender; mlpspec is there with numba (``mlpspec[fast]``) and with
NumPy alone. First it is shown that they do the same work: after a few dozen steps the objectives
of all runs agree to 1e-6. Then they are timed in turn, round after round, and the least times
compared with the floor: nothing but the exponentials of a step (N K responses a run, N K more
where coverage is active, K (K - 1) / 2 where separation is), taken by ``numpy.exp`` in cache on as
many processes. A second table gives time and memory against N and against the number of runs.

    pip install -e '.[bench]'            # numba and the peers, JAX and PyTorch; may be absent
    python experiments/benchmark.py      # twenty minutes; --quick: a minute

writes ``benchmark.json`` and a figure into ``results/benchmark``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from joblib.externals.loky import get_reusable_executor

import mlpspec
from mlpspec.losses import BUILT_IN
from mlpspec.network.neurons import PROTOTYPE_EPS
from mlpspec.running import provenance
from mlpspec.study.problem import data_of, start_of, temperature_of
from mlpspec.study.run import Run
from mlpspec.study.study import Study
from mlpspec.training.engine import choose

STUDY = mlpspec.studies.paper()

WORKERS = 2
# Not `compiled_by`: a process decides once, and those that are started here are told what.
FAST = find_spec("numba") is not None
OURS = {False: "mlpspec", True: "mlpspec[fast]"}
SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000)
COUNTS = (48, 480, 4800, 48000)

WORK = "the same work: objectives after 50 steps"
RACE = "one step of all runs"
SIZE = "against N: eight runs, one process"
RUNS = "against the number of runs: N = 10, one process"
WHOLE = "the whole command, two workers"
AGREEMENT = 1e-6
"""Largest relative difference of final objectives at which contenders do the same work."""


@dataclass(frozen=True)
class Group:
    """Runs of one size: what every contender starts from."""

    runs: tuple[Run, ...]
    x: Any  # (R, N)
    y: Any  # (R, N)
    start: tuple[Any, Any, Any, Any]  # w, b, v (R, K) and c (R,)
    weights: Any  # (R, 3): of coverage, separation, overlap; 0 where inactive


def groups_of(study: Study, by_subset: bool = False) -> list[Group]:
    """Return the runs of a study by size, or by size and subset of losses."""
    members: dict[Any, list[Run]] = {}
    for run in study.runs:
        members.setdefault((run.n_samples, run.losses if by_subset else ()), []).append(run)
    groups = []
    for runs in members.values():
        x, y = (np.stack(part) for part in zip(*map(data_of, runs), strict=True))
        flat = np.stack([start_of(run) for run in runs])
        k = runs[0].hidden_units
        start = flat[:, :k], flat[:, k : 2 * k], flat[:, 2 * k : 3 * k], flat[:, -1]
        weights = [[run.weight * (name in run.losses) for name in BUILT_IN] for run in runs]
        groups.append(Group(tuple(runs), x[:, :, 0], y, start, np.array(weights)))
    return groups


class Contender(ABC):
    """Something whose step of the whole grid is timed; it need not train (`Floor`).

    ``preparation`` is what was spent before on compilation, in seconds.
    """

    name: str
    cores: str
    preparation: float = 0.0

    @abstractmethod
    def seconds(self) -> float:
        """Return the seconds of one step of all runs."""


class Trainer(Contender):
    """A way to train the grid."""

    @abstractmethod
    def objectives(self, steps: int) -> dict[Run, float]:
        """Return the objective of every run that it can train after ``steps`` steps."""


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


class MLPSpec(Trainer):
    """`mlpspec.run_study`, from the empty directory to the written tables, in its own process.

    The time of a step is the difference between a long and a short study, over their steps.
    ``compiled``: with numba (``mlpspec[fast]``), else with NumPy alone.
    """

    def __init__(self, study: Study, steps: int, n_jobs: int, compiled: bool) -> None:
        self.study, self.steps, self.n_jobs, self.compiled = study, steps, n_jobs, compiled
        self.name = f"{OURS[compiled]}, " + (f"{n_jobs} workers" if n_jobs > 1 else "one process")
        self.cores = str(n_jobs)

    def objectives(self, steps: int) -> dict[Run, float]:
        """Return objectives as the stored measurements give them."""
        study = self.study.replace(steps=steps)
        table = alone(trained, study, self.n_jobs, compiled=self.compiled)
        total = table["fit_mse"].copy()
        for name in BUILT_IN:
            active = np.array([name in label for label in table["losses"]])
            total += np.where(active, table["weight"] * table[f"{name}_loss"], 0.0)
        labels = zip(table["losses"], table["n_samples"], table["seed"], total, strict=True)
        found = {(str(a), int(b), int(c)): float(d) for a, b, c, d in labels}
        return {run: found[run.label, run.n_samples, run.seed] for run in self.study.runs}

    def seconds(self) -> float:
        """Return the seconds of one step; start and end cancel out."""
        steps = max(1, self.steps // 20), self.steps
        found = alone(measured, self.study, steps, self.n_jobs, compiled=self.compiled)
        return float(found["step"])


class Jax(Trainer):
    """Compiled by JAX: jit of a scan over steps of a vmap over runs.

    ``by_subset``: one program for each size and subset, which computes active losses only;
    else one for each size, which computes all losses for all runs and weights them.
    """

    cores = "all"

    def __init__(self, study: Study, steps: int, calls: int, by_subset: bool) -> None:
        jax = import_module("jax")
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
        self.jax, self.steps, self.calls = jax, steps, calls
        self.name = f"JAX {version('jax')}, a program per size" + " and subset" * by_subset
        self.groups = groups_of(study, by_subset)
        self.programs = [self._program(group, by_subset) for group in self.groups]
        states = [self._start(group) for group in self.groups]

        def compile_all() -> None:
            self.programs = [
                program.lower(*state).compile()
                for program, state in zip(self.programs, states, strict=True)
            ]

        self.preparation = timed(compile_all)
        # Small programs use one core each: two at a time use both.
        self.pool = ThreadPoolExecutor(WORKERS)

    def _start(self, group: Group) -> Any:
        jnp = self.jax.numpy
        params = tuple(map(jnp.asarray, group.start))
        zeros = tuple(map(jnp.zeros_like, params))
        data = tuple(map(jnp.asarray, (group.x, group.y, group.weights)))
        return ((params, zeros, zeros, jnp.zeros(())), data)

    def _program(self, group: Group, by_subset: bool) -> Any:
        jax, jnp = self.jax, self.jax.numpy
        run = group.runs[0]
        n_hidden, tau = run.hidden_units, temperature_of(run)
        active = [not by_subset or name in run.losses for name in BUILT_IN]

        def loss(params: Any, x: Any, y: Any, weights: Any) -> Any:
            w, b, v, c = params
            hidden = jnp.exp(-((x[:, None] * w + b) ** 2))
            total = ((hidden @ v + c - y) ** 2).mean()
            p = -b * w / (w**2 + PROTOTYPE_EPS)
            n_pairs = max(1, n_hidden * (n_hidden - 1) / 2)
            if active[0]:
                cost = (x[:, None] - p) ** 2 / tau
                soft = jax.scipy.special.logsumexp(-cost, axis=1) - np.log(n_hidden)
                total += weights[0] * -tau * soft.mean()
            if active[1]:
                close = jnp.exp(-((p[:, None] - p) ** 2) / tau)
                total += weights[1] * (close.sum() - n_hidden) / 2 / n_pairs
            if active[2]:
                pairs = hidden.sum(axis=1) ** 2 - (hidden**2).sum(axis=1)
                total += weights[2] * pairs.mean() / 2 / n_pairs
            return total

        value_and_grad = jax.vmap(jax.value_and_grad(loss))

        def step(carry: Any, _: None, data: Any) -> Any:
            params, mean, square, t = carry
            _, grad = value_and_grad(params, *data)
            t = t + 1.0
            tree = jax.tree.map
            mean = tree(lambda m, g: 0.9 * m + 0.1 * g, mean, grad)
            square = tree(lambda s, g: 0.999 * s + 0.001 * g * g, square, grad)
            params = tree(
                lambda p, m, s: (
                    p
                    - run.learning_rate * (m / (1 - 0.9**t)) / (jnp.sqrt(s / (1 - 0.999**t)) + 1e-8)
                ),
                params,
                mean,
                square,
            )
            return (params, mean, square, t), None

        def train(carry: Any, data: Any) -> Any:
            carry, _ = jax.lax.scan(lambda c, i: step(c, i, data), carry, length=self.steps)
            return carry, value_and_grad(carry[0], *data)[0]

        return jax.jit(train)

    def train(self, index: int, times: int = 1) -> Any:
        """Train a group for ``times`` calls of its program; return the objectives."""
        carry, data = self._start(self.groups[index])
        for _ in range(times):
            carry, value = self.programs[index](carry, data)
        return np.asarray(self.jax.block_until_ready(value))

    def objectives(self, steps: int) -> dict[Run, float]:
        """Return objectives after as many calls as make up the steps."""
        assert steps % self.steps == 0
        return {
            run: float(value)
            for index, group in enumerate(self.groups)
            for run, value in zip(group.runs, self.train(index, steps // self.steps), strict=True)
        }

    def seconds(self) -> float:
        """Return the seconds of a step, groups two at a time or one after the other."""
        indices = range(len(self.groups) - 1, -1, -1)  # the largest first
        train = partial(self.train, times=self.calls)
        threads = timed(lambda: list(self.pool.map(train, indices)))
        alone = timed(lambda: list(map(train, indices)))
        return min(threads, alone) / (self.steps * self.calls)


class Torch(Trainer):
    """What the two PyTorch contenders share: the objective of one run, in plain operations."""

    def __init__(self, study: Study) -> None:
        self.torch = import_module("torch")
        self.torch.set_default_dtype(self.torch.float64)
        self.study = study

    def loss(
        self, params: Any, x: Any, y: Any, weights: Any, active: Sequence[bool], tau: float
    ) -> Any:
        """Return the objective of one run."""
        torch = self.torch
        w, b, v, c = params
        n_hidden = w.shape[0]
        n_pairs = max(1, n_hidden * (n_hidden - 1) / 2)
        hidden = torch.exp(-((x[:, None] * w + b) ** 2))
        total = ((hidden @ v + c - y) ** 2).mean()
        if active[0] or active[1]:
            p = -b * w / (w**2 + PROTOTYPE_EPS)
        if active[0]:
            cost = (x[:, None] - p) ** 2 / tau
            soft = torch.logsumexp(-cost, dim=1) - np.log(n_hidden)
            total = total + weights[0] * -tau * soft.mean()
        if active[1]:
            close = torch.exp(-((p[:, None] - p) ** 2) / tau)
            total = total + weights[1] * (close.sum() - n_hidden) / 2 / n_pairs
        if active[2]:
            pairs = hidden.sum(dim=1) ** 2 - (hidden**2).sum(dim=1)
            total = total + weights[2] * pairs.mean() / 2 / n_pairs
        return total


class TorchLoop(Torch):
    """PyTorch as it is mostly written: autograd and torch.optim, one run after the other.

    Timed on a few steps of one run of each size and subset, times the number of seeds.
    """

    cores = "1"

    def __init__(self, study: Study, steps: int) -> None:
        super().__init__(study)
        self.steps = steps
        self.name = f"PyTorch {version('torch').partition('+')[0]}, loop over runs"
        self.groups = groups_of(study, by_subset=True)

    def train(self, group: Group, row: int, steps: int) -> tuple[float, float]:
        """Train one run; return its objective, and the seconds of a step but for the first."""
        torch, run = self.torch, group.runs[row]
        x, y, weights = (torch.tensor(part[row]) for part in (group.x, group.y, group.weights))
        params = [torch.tensor(part[row], requires_grad=True) for part in group.start]
        optimizer = torch.optim.Adam(params, lr=run.learning_rate)
        active = [name in run.losses for name in BUILT_IN]
        tau = temperature_of(run)
        for step in range(steps):
            if step == 1:
                began = time.perf_counter()
            optimizer.zero_grad()
            self.loss(params, x, y, weights, active, tau).backward()
            optimizer.step()
        seconds = (time.perf_counter() - began) / (steps - 1)
        with torch.no_grad():
            return float(self.loss(params, x, y, weights, active, tau)), seconds

    def objectives(self, steps: int) -> dict[Run, float]:
        """Return the objective of the first seed of each group."""
        return {group.runs[0]: self.train(group, 0, steps)[0] for group in self.groups}

    def seconds(self) -> float:
        """Return the seconds of a step of all runs, from one run of each group."""
        threads = self.torch.get_num_threads()
        self.torch.set_num_threads(1)  # more only wait for each other on arrays this small
        groups = [(group, len(group.runs)) for group in self.groups]
        total = sum(self.train(group, 0, 1 + self.steps)[1] * count for group, count in groups)
        self.torch.set_num_threads(threads)
        return total


class TorchBatched(Torch):
    """PyTorch with torch.func: vmap of grad over the runs of a size, Adam on whole arrays.

    One batch for each size, which computes all losses for all runs: fewer batches are faster,
    since the cost of a call is the larger part.
    """

    cores = "all"

    def __init__(self, study: Study, steps: int) -> None:
        super().__init__(study)
        self.steps = steps
        self.name = f"PyTorch {version('torch').partition('+')[0]}, vmap over runs"
        self.groups = groups_of(study)

    def train(self, group: Group, steps: int) -> tuple[Any, float]:
        """Train the runs of a size; return objectives, and seconds a step but for the first."""
        torch, run = self.torch, group.runs[0]

        def loss(params: Any, *data: Any) -> Any:
            return self.loss(params, *data, (True, True, True), temperature_of(run))

        grad_of = torch.func.vmap(torch.func.grad(loss))
        params = [torch.tensor(part) for part in group.start]
        data = [torch.tensor(part) for part in (group.x, group.y, group.weights)]
        optimizer = torch.optim.Adam(params, lr=run.learning_rate)
        for step in range(steps):
            if step == 1:
                began = time.perf_counter()
            for param, grad in zip(params, grad_of(tuple(params), *data), strict=True):
                param.grad = grad
            optimizer.step()
        seconds = (time.perf_counter() - began) / (steps - 1)
        return torch.func.vmap(loss)(tuple(params), *data).numpy(), seconds

    def objectives(self, steps: int) -> dict[Run, float]:
        """Return the objective of every run."""
        return {
            run: float(value)
            for group in self.groups
            for run, value in zip(group.runs, self.train(group, steps)[0], strict=True)
        }

    def seconds(self) -> float:
        """Return the seconds of a step."""
        return sum(self.train(group, 1 + self.steps)[1] for group in self.groups)


def exponentials(study: Study) -> int:
    """Return how many exponentials a step of a study needs."""
    return sum(
        run.n_samples * run.hidden_units * (1 + ("coverage" in run.losses))
        + ("separation" in run.losses) * run.hidden_units * (run.hidden_units - 1) // 2
        for run in study.runs
    )


def exponentiate(count: int, seconds: float) -> float:
    """Return the median seconds of ``count`` exponentials, tried for so many seconds.

    They are taken in blocks of 32 KiB, of arguments in [-20, 0].
    """
    block = np.random.default_rng(0).uniform(-20.0, 0.0, 4096)
    out = np.empty_like(block)
    blocks = -(-count // len(block))
    times = []
    until = time.perf_counter() + seconds
    while not times or time.perf_counter() < until:
        began = time.perf_counter()
        for _ in range(blocks):
            np.exp(block, out=out)
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * count / (blocks * len(block))


class Floor(Contender):
    """Nothing but the exponentials of a step, an equal share on each of some processes."""

    def __init__(self, study: Study, n_jobs: int, duration: float) -> None:
        self.count, self.n_jobs = exponentials(study) // n_jobs, n_jobs
        self.duration = duration
        self.name = "the exponentials alone" + (f", {n_jobs} processes" if n_jobs > 1 else "")
        self.cores = str(n_jobs)

    def seconds(self) -> float:
        """Return the seconds of one step's share."""
        with ProcessPoolExecutor(self.n_jobs, get_context("spawn")) as pool:
            # Long enough that the processes, which do not start at once, mostly run together.
            return max(
                pool.map(exponentiate, [self.count] * self.n_jobs, [self.duration] * self.n_jobs)
            )


@dataclass
class Report:
    """What was measured, and printed as it came in."""

    content: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Keep a table and print it."""
        self.content[name] = rows
        lines = [list(rows[0]), *([_short(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        print(f"\n{name}")
        for line in lines:
            cells = (
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            print("  ".join(cells).rstrip(), flush=True)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def contenders_of(study: Study, quick: bool) -> list[Contender]:
    """Return all contenders that this machine has the packages for.

    Each is timed over more than a second, so that none profits from a quiet moment.
    """
    long, more = (200, 1) if quick else (600, 5)
    found: list[Contender] = [
        *(MLPSpec(study, long, jobs, fast) for fast in {False, FAST} for jobs in (1, WORKERS)),
        Floor(study, 1, 0.1 if quick else 2.0),
        Floor(study, WORKERS, 0.1 if quick else 2.0),
    ]
    makers: list[tuple[str, Callable[[], Contender]]] = [
        ("jax", lambda: Jax(study, 50, more, False)),
        ("jax", lambda: Jax(study, 50, more, True)),
        ("torch", lambda: TorchBatched(study, 5 * more)),
        ("torch", lambda: TorchLoop(study, 5 * more)),
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

    Ratios are of the least times, to which other programs on the machine add least, and of the
    medians.
    """
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            times[contender.name].append(contender.seconds())
    rows = []
    for contender in contenders:
        row = {
            "contender": contender.name,
            "cores": contender.cores,
            "ms a step": 1e3 * min(times[contender.name]),
            "median": 1e3 * float(np.median(times[contender.name])),
            "most": 1e3 * max(times[contender.name]),
            "compilation s": contender.preparation,
        }
        rows.append(row)
    ours = next(row for row in rows if row["contender"] == f"{OURS[FAST]}, {WORKERS} workers")
    for row in rows:
        row[f"over {OURS[FAST]}"] = row["ms a step"] / ours["ms a step"]
        row["of medians"] = row["median"] / ours["median"]
    return sorted(rows, key=lambda row: -row["ms a step"])


def peak_memory(pid: str = "self") -> float:
    """Return the most memory that a process has held, in MB."""
    try:
        # Not ru_maxrss, which a child inherits from the process that started it.
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)
    line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10


def alone(function: Callable[..., Any], *arguments: Any, compiled: bool) -> Any:
    """Return what a function returns in a process of its own, with or without numba."""
    with ProcessPoolExecutor(1, get_context("spawn"), _switch, (compiled,)) as pool:
        return pool.submit(function, *arguments).result()


def _switch(compiled: bool) -> None:
    os.environ["MLPSPEC_COMPILED"] = str(int(compiled))


def trained(study: Study, n_jobs: int) -> Any:
    """Return the table of a study's results."""
    with tempfile.TemporaryDirectory() as out:
        table = mlpspec.run_study(study, out, n_jobs).table
    get_reusable_executor().shutdown(wait=True)  # or its workers would outlive this process
    return table


def measured(study: Study, steps: Sequence[int], n_jobs: int) -> dict[str, float]:
    """Return seconds a step, seconds once and peak memory of a study; meant for a new process."""
    times = []
    for count in (steps[0], *steps):  # the first to warm up
        with tempfile.TemporaryDirectory() as out:
            few = study.replace(steps=count)
            times.append(timed(lambda few=few, out=out: mlpspec.run_study(few, out, n_jobs)))
    step = (times[2] - times[1]) / (steps[1] - steps[0])
    memory = [peak_memory()]
    if n_jobs > 1:
        children = Path("/proc/self/task").glob("*/children")
        memory += [peak_memory(pid) for file in children for pid in file.read_text().split()]
        get_reusable_executor().shutdown(wait=True)
    return {"step": step, "once": times[1] - steps[0] * step, "memory": max(memory)}


def against_size(sizes: Sequence[int], budget: float) -> list[dict[str, Any]]:
    """Return time and memory of a run against N: eight subsets, one process, one seed."""
    rows = []
    for size in sizes:
        study = STUDY.replace(n_samples=(size,), seed=(0,))
        more = max(4, int(budget / (2e-9 * exponentials(study) + 1e-4)))
        found = alone(measured, study, (2, 2 + more), 1, compiled=FAST)
        rows.append(
            {
                "N": size,
                "us a run and step": 1e6 * found["step"] / len(study.runs),
                "ns an exponential": 1e9 * found["step"] / exponentials(study),
                "peak MB": found["memory"],
            }
        )
    return rows


def against_runs(counts: Sequence[int], budget: float) -> list[dict[str, Any]]:
    """Return time and memory against the number of runs: N = 10, eight subsets, one process."""
    rows = []
    for count in counts:
        study = STUDY.replace(n_samples=(10,), seed=range(count // 8))
        # Enough that what is done once a run, whose time varies, is not most of it.
        more = max(count // 48, int(budget / (5e-9 * exponentials(study) + 1e-4)))
        found = alone(measured, study, (2, 2 + more), 1, compiled=FAST)
        rows.append(
            {
                "runs": count,
                "ms a step": 1e3 * found["step"],
                "us a run and step": 1e6 * found["step"] / count,
                "ms once a run": 1e3 * found["once"] / count,
                "peak MB": found["memory"],
            }
        )
    return rows


def whole(study: Study, steps: int, rounds: int) -> list[dict[str, Any]]:
    """Return the seconds of the command that runs a study, medians, and the share of all but steps.

    That is what the same command takes for a single step.
    """
    kinds = [False, True] if FAST else [False]
    seconds: dict[tuple[bool, int], list[float]] = {}
    for _ in range(rounds):
        for compiled, count in product(kinds, (steps, 1)):
            found = timed(partial(run_command, study.replace(steps=count), compiled))
            seconds.setdefault((compiled, count), []).append(found)
    rows = []
    for compiled in kinds:
        all_, one = (float(np.median(seconds[compiled, count])) for count in (steps, 1))
        memory = alone(measured, study, (2, 12), WORKERS, compiled=compiled)["memory"]
        rows.append(
            {
                "contender": OURS[compiled],
                "runs": len(study.runs),
                "steps": steps,
                "seconds": all_,
                "of one step": one,
                "share of all but steps": one / all_,
                "peak MB of a process": memory,
            }
        )
    return rows


def run_command(study: Study, compiled: bool) -> None:
    """Run a study as its users do."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "mlpspec", "run", "--only", "--quiet", "--out", f"{out}/r"]
        command += ["--jobs", str(WORKERS), "--set", f"steps={study.runs[0].steps}"]
        for option, name in (("--seeds", "seed"), ("--sizes", "n_samples")):
            command += [option, ",".join(map(str, study.axes[name]))]
        switched = {**os.environ, "MLPSPEC_COMPILED": str(int(compiled))}
        subprocess.run(command, env=switched, check=True)


def exponent(rows: Sequence[dict[str, Any]], x: str, y: str, least: float = 0) -> float:
    """Return the slope of log y over log x by least squares, from ``least`` on."""
    points = [(row[x], row[y]) for row in rows if row[x] >= least and row[y] > 0]
    return float(np.polyfit(*np.log(np.array(points).T), 1)[0]) if len(points) > 1 else np.nan


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
    for ax, name, x, y in (
        (middle, SIZE, "N", "us a run and step"),
        (right, RUNS, "runs", "ms a step"),
    ):
        ax.loglog(*zip(*[(row[x], row[y]) for row in content[name]], strict=True), "o-", ms=3)
        slope = content["exponents"][name]
        ax.set_title(f"slope {slope:.2f}", fontsize=8)
        ax.set(xlabel=x, ylabel=y.replace("us", "µs"))
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=7)
        ax.xaxis.label.set_size(8)
        ax.yaxis.label.set_size(8)
    return figure


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of the race")
    parser.add_argument("--quick", action="store_true", help="small and short, to see that it runs")
    parser.add_argument("--only", choices=("race", "growth"), help="one half of the benchmark")
    parser.add_argument("--out", type=Path, default=Path("results/benchmark"))
    arguments = parser.parse_args(argv)
    quick, out = arguments.quick, arguments.out
    study = STUDY.replace(n_samples=(3, 5), seed=range(2)) if quick else STUDY

    # Halves that are measured at different times lie side by side in one file.
    path = out / "benchmark.json"
    report = Report(json.loads(path.read_text()) if arguments.only and path.exists() else {})
    report.content["machine"] = provenance.collect([], choose())
    if arguments.only != "growth":
        contenders = contenders_of(study, quick)
        report.table(WORK, same_work(contenders, 50))
        report.table(RACE, race(contenders, 1 if quick else arguments.rounds))
    if arguments.only != "race":
        budget = 0.05 if quick else 2.0
        report.table(SIZE, against_size((10, 20) if quick else SIZES, budget))
        report.table(RUNS, against_runs((48, 96) if quick else COUNTS, budget))
        report.table(WHOLE, whole(study, 50 if quick else 3000, 1 if quick else 3))
        report.content["exponents"] = {
            SIZE: exponent(report.content[SIZE], "N", "us a run and step", 0 if quick else 200),
            RUNS: exponent(report.content[RUNS], "runs", "ms a step", 0 if quick else 480),
        }
        print("\nexponents, of the larger sizes and numbers:", report.content["exponents"])
    out.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        json.dump(report.content, file, indent=1)
        file.write("\n")
    if {RACE, SIZE, RUNS} <= set(report.content):
        for ending in ("svg", "png"):
            draw(report.content).savefig(out / f"benchmark.{ending}", dpi=200)


if __name__ == "__main__":
    main()
