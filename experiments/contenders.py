"""What the benchmark times: mlpspec, the exponentials alone, JAX and PyTorch.

All but the exponentials train the same runs, with the same data, start, objective and Adam.
mlpspec is timed as its users run it, as a command (`Command`). JAX compiles a scan over steps of a
vmap over runs; PyTorch is there with a vmap over runs and as it is mostly written, one run after
the other. Both have the same `objective`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import mlpspec
from mlpspec.losses import BUILT_IN
from mlpspec.losses.base import n_pairs
from mlpspec.network.neurons import PROTOTYPE_EPS
from mlpspec.study.problem import data_of, losses_of, start_of
from mlpspec.study.run import Run
from mlpspec.study.study import Study
from mlpspec.training.engine import choose

HERE = Path(mlpspec.__file__).parents[1]
OWN_LOSS = Path(__file__).with_name("custom_loss.py")
ENGINE = choose()
EVERY = (True, True, True)


class Contender(ABC):
    """Something whose step of the whole grid is timed; it need not train.

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
    times: list[float] = []
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


class Command(Trainer):
    """The command ``mlpspec run --only`` of a checkout, in a new process and an empty directory.

    Parameters
    ----------
    study : Study
        Runs of the paper grid, or, if a loss of one's own is among them, of ``custom_loss.py``.
    steps : int
        How many steps to time.
    engine : {"numpy", "compiled"}
    n_jobs : int
    checkout : path

    Attributes
    ----------
    peak : float
        The most memory that a process of the command has held so far, in MB.
    once : float
        Seconds of all but steps (of two), when it was last timed.
    """

    def __init__(
        self,
        study: Study,
        steps: int,
        engine: str = ENGINE,
        n_jobs: int = 1,
        checkout: Path = HERE,
    ) -> None:
        self.study, self.steps, self.engine, self.n_jobs = study, steps, engine, n_jobs
        self.checkout = checkout.resolve()
        whose = "mlpspec" if checkout == HERE else "before"
        workers = f"{n_jobs} workers" if n_jobs > 1 else "one process"
        self.name, self.cores = f"{whose}, {engine}, {workers}", str(n_jobs)
        self.peak, self.once = np.nan, np.nan

    def run(self, steps: int, keep: Callable[[Path], Any] = lambda _: None) -> tuple[float, Any]:
        """Train; return the seconds of the command, and what ``keep`` makes of the results."""
        with tempfile.TemporaryDirectory() as place:
            # In this directory, because `python -m` looks for modules where it is started.
            process = subprocess.Popen(
                [sys.executable, "-m", "mlpspec", *self._arguments(steps)],
                cwd=place,
                env={**os.environ, "PYTHONPATH": str(self.checkout), **self._switch()},
            )
            began = time.perf_counter()
            with ThreadPoolExecutor(1) as pool:
                peak = pool.submit(peak_memory, process.pid)
                status = process.wait()
                took = time.perf_counter() - began
            if status:
                raise SystemExit(f"{self.name}: mlpspec run ends with status {status}")
            self.peak = float(np.fmax(self.peak, peak.result()))
            return took, keep(Path(place, "out"))

    def _arguments(self, steps: int) -> list[str]:
        study = self.study.replace(steps=steps)
        axes = {name: ",".join(map(str, study.axes[name])) for name in ("seed", "n_samples")}
        labels = dict.fromkeys(run.label for run in study.runs)
        return [
            *("run", str(OWN_LOSS) if study.extensions else "paper", "--only", "--quiet"),
            *("--out", "out", "--jobs", str(self.n_jobs)),
            *("--seeds", axes["seed"], "--sizes", axes["n_samples"], "--subsets", ",".join(labels)),
            *("--set", *(f"{name}={value}" for name, value in study.settings.items())),
            *(() if has_old_switch(self.checkout) else ("--engine", self.engine)),
        ]

    def _switch(self) -> dict[str, str]:
        if not has_old_switch(self.checkout):
            return {}
        return {"MLPSPEC_COMPILED": str(int(self.engine == "compiled"))}

    def objectives(self, steps: int) -> dict[Run, float]:
        """Return objectives as the stored measurements give them."""
        _, table = self.run(steps, lambda out: mlpspec.load(out).table)
        total = table["fit_mse"].copy()
        for name in BUILT_IN:
            active = np.array([name in label for label in table["losses"]])
            total += np.where(active, table["weight"] * table[f"{name}_loss"], 0.0)
        labels = zip(table["losses"], table["n_samples"], table["seed"], total, strict=True)
        found = {(str(a), int(b), int(c)): float(d) for a, b, c, d in labels}
        return {run: found[run.label, run.n_samples, run.seed] for run in self.study.runs}

    def seconds(self) -> float:
        """Return the seconds of one step; start and end cancel out."""
        while True:
            self.once, long = (self.run(steps)[0] for steps in (2, 2 + self.steps))
            if long > self.once:  # else the steps are lost in what goes on beside them
                return (long - self.once) / self.steps


@cache
def has_old_switch(checkout: Path) -> bool:
    """Return whether a checkout chooses its engine by MLPSPEC_COMPILED, having no ``--engine``."""
    texts = (path.read_text() for path in (checkout / "mlpspec").rglob("*.py"))
    return not any('"--engine"' in text for text in texts)


def peak_memory(pid: int) -> float:
    """Watch a process and its children to their end; return the most that one held, in MB.

    NaN where the system has no ``/proc``.
    """
    peak = np.nan
    while True:
        children = Path(f"/proc/{pid}/task").glob("*/children")
        try:
            found = [pid, *(int(child) for file in children for child in file.read_text().split())]
            # Not ru_maxrss, which a process inherits from the one that started it.
            texts = [Path(f"/proc/{one}/status").read_text() for one in found]
        except OSError:  # one has ended, maybe the first
            if not Path(f"/proc/{pid}").exists():
                return peak
            continue
        lines = [line for text in texts for line in text.splitlines() if line.startswith("VmHWM")]
        if not lines:
            return peak
        peak = float(np.fmax(peak, max(int(line.split()[1]) for line in lines) / 2**10))
        time.sleep(0.05)


@dataclass(frozen=True)
class Group:
    """Runs of one size: what every peer starts from."""

    runs: tuple[Run, ...]
    x: Any  # (R, N)
    y: Any  # (R, N)
    start: tuple[Any, Any, Any, Any]  # w, b, v (R, K) and c (R,)
    weights: Any  # (R, 3): of coverage, separation, overlap; 0 where inactive


def groups_of(study: Study, by_subset: bool) -> list[Group]:
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


def objective(
    numbers: Any, logsumexp: Callable[..., Any], run: Run, active: Sequence[bool]
) -> Callable[..., Any]:
    """Return the objective of one run, of its parameters, inputs, targets and weights.

    ``numbers`` is ``jax.numpy`` or ``torch``; losses that are not ``active`` are left out, others
    are computed even if their weight is 0.
    """
    losses: dict[str, Any] = losses_of(run)
    n_hidden, tau, tau_s = run.hidden_units, run.temperature, losses["separation"].temperature
    over_separation, over_overlap = (
        n_pairs(n_hidden, losses[name].reduction) for name in ("separation", "overlap")
    )

    def of(params: Any, x: Any, y: Any, weights: Any) -> Any:
        w, b, v, c = params
        hidden = numbers.exp(-((x[:, None] * w + b) ** 2))
        total = ((hidden @ v + c - y) ** 2).mean()
        p = -b * w / (w**2 + PROTOTYPE_EPS)
        if active[0]:
            soft = logsumexp(-((x[:, None] - p) ** 2) / tau, 1) - np.log(n_hidden)
            total = total + weights[0] * -tau * soft.mean()
        if active[1]:
            close = numbers.exp(-((p[:, None] - p) ** 2) / tau_s)
            total = total + weights[1] * (close.sum() - n_hidden) / 2 / over_separation
        if active[2]:
            pairs = hidden.sum(1) ** 2 - (hidden**2).sum(1)
            total = total + weights[2] * pairs.mean() / 2 / over_overlap
        return total

    return of


def activity(run: Run) -> list[bool]:
    """Return which of the losses a run has."""
    return [name in run.losses for name in BUILT_IN]


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
        programs = [self._program(group, by_subset) for group in self.groups]
        starts = [self._start(group) for group in self.groups]
        began = time.perf_counter()
        self.programs = [
            program.lower(*start).compile() for program, start in zip(programs, starts, strict=True)
        ]
        self.preparation = time.perf_counter() - began
        # Small programs use one core each: two at a time use both.
        self.pool = ThreadPoolExecutor(2)

    def _start(self, group: Group) -> Any:
        jnp = self.jax.numpy
        params = tuple(map(jnp.asarray, group.start))
        zeros = tuple(map(jnp.zeros_like, params))
        data = tuple(map(jnp.asarray, (group.x, group.y, group.weights)))
        return ((params, zeros, zeros, jnp.zeros(())), data)

    def _program(self, group: Group, by_subset: bool) -> Any:
        jax, jnp, run = self.jax, self.jax.numpy, group.runs[0]
        active = activity(run) if by_subset else EVERY
        loss = objective(jnp, jax.scipy.special.logsumexp, run, active)
        value_and_grad = jax.vmap(jax.value_and_grad(loss))

        def change(m: Any, s: Any, t: Any) -> Any:
            root = jnp.sqrt(s / (1 - 0.999**t))
            return -run.learning_rate * (m / (1 - 0.9**t)) / (root + 1e-8)

        def step(carry: Any, _: None, data: Any) -> Any:
            params, mean, square, t = carry
            _, grad = value_and_grad(params, *data)
            t, tree = t + 1.0, jax.tree.map
            mean = tree(lambda m, g: 0.9 * m + 0.1 * g, mean, grad)
            square = tree(lambda s, g: 0.999 * s + 0.001 * g * g, square, grad)
            params = tree(lambda p, m, s: p + change(m, s, t), params, mean, square)
            return (params, mean, square, t), None

        def train(carry: Any, data: Any) -> Any:
            carry, _ = jax.lax.scan(lambda c, i: step(c, i, data), carry, length=self.steps)
            return carry, value_and_grad(carry[0], *data)[0]

        return jax.jit(train)

    def train(self, index: int, times: int) -> Any:
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
        times = []
        for mapped in (self.pool.map, map):
            began = time.perf_counter()
            list(mapped(train, indices))
            times.append(time.perf_counter() - began)
        return min(times) / (self.steps * self.calls)


class Torch(Trainer):
    """PyTorch with ``torch.optim.Adam``.

    ``batched``: vmap of grad over the runs of a size, which computes all losses for all runs:
    fewer batches are faster, since the cost of a call is the larger part. Else autograd, one run
    after the other, of which only the first of each size and subset is trained, and its time
    taken times the number of seeds.
    """

    def __init__(self, study: Study, steps: int, batched: bool) -> None:
        self.torch = import_module("torch")
        self.torch.set_default_dtype(self.torch.float64)
        self.steps, self.batched, self.cores = steps, batched, "all" if batched else "1"
        way = "vmap" if batched else "loop"
        self.name = f"PyTorch {version('torch').partition('+')[0]}, {way} over runs"
        self.groups = groups_of(study, by_subset=not batched)

    def train(self, group: Group, steps: int) -> tuple[Any, float]:
        """Train a group or its first run; return objectives, and seconds a step but for one."""
        torch, run = self.torch, group.runs[0]
        active = EVERY if self.batched else activity(run)
        loss = objective(torch, torch.logsumexp, run, active)
        rows = slice(None) if self.batched else 0
        data = [torch.tensor(part[rows]) for part in (group.x, group.y, group.weights)]
        params = [torch.tensor(part[rows], requires_grad=not self.batched) for part in group.start]
        grad_of = torch.func.vmap(torch.func.grad(loss))
        optimizer = torch.optim.Adam(params, lr=run.learning_rate)
        for step in range(steps):
            if step == 1:
                began = time.perf_counter()
            if self.batched:
                for param, grad in zip(params, grad_of(tuple(params), *data), strict=True):
                    param.grad = grad
            else:
                optimizer.zero_grad()
                loss(params, *data).backward()
            optimizer.step()
        seconds = (time.perf_counter() - began) / (steps - 1)
        with torch.no_grad():
            value = torch.func.vmap(loss) if self.batched else loss
            return np.atleast_1d(value(tuple(params), *data).numpy()), seconds

    def objectives(self, steps: int) -> dict[Run, float]:
        """Return the objective of every run that it trains."""
        return {
            run: float(value)
            for group in self.groups
            for run, value in zip(group.runs, self.train(group, steps)[0], strict=False)
        }

    def seconds(self) -> float:
        """Return the seconds of a step of all runs."""
        threads = self.torch.get_num_threads()
        if not self.batched:
            self.torch.set_num_threads(1)  # more only wait for each other on arrays this small
        counts = [1 if self.batched else len(group.runs) for group in self.groups]
        times = [self.train(group, 1 + self.steps)[1] for group in self.groups]
        self.torch.set_num_threads(threads)
        return float(np.dot(counts, times))
