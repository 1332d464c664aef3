"""The compiled engine: runs in the memory of `mlpspec.training.kernel`, and their training.

The kernel trains a run whole if its losses are among `WEIGHT_OF`, each at another index. Other
losses ride on it: it then gives value and gradient of the terms that it knows, of many runs at
once, and f; z, h and p are NumPy's, as far as the other losses read them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import cast

import numpy as np

from mlpspec.arrays import Array
from mlpspec.losses import L1, L2, Coverage, HardCoverage, Overlap, Separation, StructuralLoss
from mlpspec.losses.base import n_pairs
from mlpspec.losses.objective import Objective
from mlpspec.network.forward import Forward, read_only
from mlpspec.network.neurons import Params
from mlpspec.training import layout
from mlpspec.training.optimizers import RULES, Optimizer, gradient_descent

WEIGHT_OF: dict[type[StructuralLoss], int] = {
    Coverage: layout.COVERAGE,
    HardCoverage: layout.COVERAGE,
    Separation: layout.SEPARATION,
    Overlap: layout.OVERLAP,
    L1: layout.L1,
    L2: layout.L2,
}
"""The losses that the kernel knows, and the index of their weight; one of each index."""

NO_STEP, NO_RATES = gradient_descent(), np.empty(0)

Kernel = Callable[..., None]

SIGNATURE = (
    "void(f8[:, ::1], i8[:, :, ::1], UniTuple(i8, 5), i8, UniTuple(f8, 5), f8[::1], i8, i8,i8[::1])"
)
"""Of `mlpspec.training.kernel.run_kernel`."""

ROOMS = ("network", "losses", "training")
"""Folders whose source the kernel may be compiled from."""


@cache
def load() -> Kernel:
    """Return the kernel from numba's cache, where `fill_cache` puts it if it is not there.

    Where it cannot be put or read there, it is compiled here.

    Raises
    ------
    Exception
        Whatever numba raises where it cannot compile.
    """
    fill_cache()
    with contextlib.suppress(Exception):  # no place for a cache, a full disk, a damaged file
        return compile_kernel(cache=True)
    if damaged := cached_files():
        with contextlib.suppress(Exception):
            for file in damaged:
                file.unlink()
            fill_cache.cache_clear()
            fill_cache()
            return compile_kernel(cache=True)
    return compile_kernel(cache=False)


def compile_kernel(cache: bool) -> Kernel:
    """Return the kernel as numba compiles it, or loads it from its cache if it may."""
    import numba

    from mlpspec.training import kernel, rows

    function = FunctionType(kernel.run_kernel.__code__, vars(kernel), kernel_name())
    function.__qualname__ = kernel_name()
    return cast(Kernel, numba.njit(SIGNATURE, cache=cache, **rows.MATH)(function))


@cache
def fill_cache() -> None:
    """Compile the kernel into numba's cache in a process of its own, unless it is there.

    A kernel that was compiled in this process would call functions of `mlpspec.training.rows` as
    they were compiled alone, one from the cache as they were compiled with it: their sums differ in
    the last bits. And Ctrl-C ends another process at once, but is lost in a callback of LLVM.
    """
    if cached_files():
        return
    code = f"from {__name__} import compile_kernel; compile_kernel(cache=True)"
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,  # what fails there fails here, too, and says why
        check=False,
    )


@cache
def kernel_name() -> str:
    """Return the name under which numba caches the kernel.

    The name says all that a kernel in the cache depends on, and by which numba itself might refuse
    it: the source of all that may go into the kernel, the time of the file that it is in, Python,
    the compiler and the processor.
    """
    from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

    package = Path(__file__).parents[1]
    files = [file for room in ROOMS for file in sorted((package / room).glob("*.py"))]
    files.append(package / "arrays.py")
    about = [
        version("numba"),
        version("llvmlite"),
        sys.implementation.cache_tag,
        get_host_cpu_name(),
        get_host_cpu_features().flatten(),
        os.environ.get("NUMBA_CPU_NAME", ""),
        os.environ.get("NUMBA_CPU_FEATURES", ""),
        str(Path(__file__).with_name("kernel.py").stat().st_mtime_ns),
    ]
    content = b"\0".join([*map(str.encode, about), *(file.read_bytes() for file in files)])
    return f"run_kernel_{hashlib.sha256(content).hexdigest()[:16]}"


def cached_files() -> list[Path]:
    """Return the files of the kernel in numba's cache, if all are there, without loading them.

    numba takes the first place to which it can write: that of its own variable, the folder beside
    this file, or that of the user.
    """
    of_user = {"darwin": "~/Library/Caches", "win32": "~/AppData/Local"}.get(sys.platform)
    of_user = of_user or os.environ.get("XDG_CACHE_HOME", "~/.cache")
    chosen, beside = os.environ.get("NUMBA_CACHE_DIR"), Path(__file__).with_name("__pycache__")
    for place in (chosen, beside, Path(os.path.expanduser(of_user), "numba")):
        if place and _is_writable(Path(place)):
            files = [*Path(place).rglob(f"*{kernel_name()}-*.nb[ic]")]
            return files if {file.suffix for file in files} == {".nbi", ".nbc"} else []
    return []


def _is_writable(folder: Path) -> bool:
    """Return whether files can be written into a folder, which may have to be made."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return there.is_dir() and os.access(there, os.W_OK)


class KernelRuns:
    """R runs of one shape in the kernel's memory.

    Parameters
    ----------
    kind : type of the params
    theta : (R, P)
        The start.
    x : (R, N, D)
    y : (R, N)
    objectives : sequence of R Objective
        Of whose losses the kernel computes the ones that it knows (`riding` are the others).
    far_left_out : bool
        Whether far pairs may be left out: `Optimizer.ignores_tiny_gradients`.

    Attributes
    ----------
    theta, grad : (R, P)
        Parameters and gradient.
    total : (R,)
        The objective of the terms that the kernel computes.
    ended : (R,)
        The last step at which a run was finite, 0 if it never was; -1 if it has not diverged.
    memory : (R, ...)
        All numbers of each run, where ``at``, a `mlpspec.training.layout.Layout`, says.
    order : (R, N)
        Of the samples in memory: ascending on a line.
    """

    def __init__(
        self,
        kind: type[Params],
        theta: Array,
        x: Array,
        y: Array,
        objectives: Sequence[Objective],
        far_left_out: bool = True,
    ) -> None:
        n_runs, n, d = x.shape
        k = (theta.shape[1] - 1) // (d + 2)
        windowed = d == 1 and n >= layout.WINDOWED and far_left_out
        self.sizes = (n, k, d, int(not kind.DIRECTED), int(windowed))
        self.at = at = layout.lay_out(*self.sizes)
        self.memory = np.empty((n_runs, at.end))
        self.memory[:, : at.x] = 0.0
        self.theta = self.memory[:, at.theta : at.theta + at.size]
        self.grad = self.memory[:, at.grad : at.grad + at.size]
        self.total = self.memory[:, layout.TOTAL]
        self.memory[:, layout.EPSILON] = kind.EPSILON
        self.theta[...] = theta
        self.order = np.tile(np.arange(n), (n_runs, 1))
        if d == 1:
            self.order = np.argsort(x[:, :, 0], axis=1, kind="stable")
        rows = self.memory[:, at.x : at.f].reshape(n_runs, d + 1, at.ns)  # x and y
        rows[:, :d, :n] = np.take_along_axis(x, self.order[:, :, None], axis=1).swapaxes(1, 2)
        rows[:, :d, n:] = rows[:, :d, n - 1 : n]
        rows[:, d, :n], rows[:, d, n:] = np.take_along_axis(y, self.order, axis=1), 0.0
        self.marks = np.empty((n_runs, k, layout.MARKS), dtype=np.int64)
        self.marks[...] = (0, n, 0, n, 0, k, 0)
        self.marks[:, :, layout.ORDER] = np.arange(k)
        self.ended = np.empty(n_runs, dtype=np.int64)
        self.minimise(objectives)

    def minimise(self, objectives: Sequence[Objective]) -> None:
        """Minimise other objectives from here on, one a run."""
        n_hidden = self.sizes[1]
        self.names = [known_terms(objective) for objective in objectives]
        self.memory[:, : layout.TOTAL] = 0.0
        for row, objective, names in zip(self.memory, objectives, self.names, strict=True):
            for i, term in names.items():
                row[i], loss = objective.parts[term]
                if isinstance(loss, Coverage | Separation):
                    row[layout.TAU_COVERAGE + i - layout.COVERAGE] = loss.temperature
                if isinstance(loss, Separation | Overlap):
                    twice_m = 2.0 * n_pairs(n_hidden, loss.reduction)
                    row[layout.TWICE_M_SEPARATION + i - layout.SEPARATION] = twice_m

    def values(self, run: int) -> dict[str, float]:
        """Return the unweighted values of a run: ``"fit"`` and the losses that the kernel knows."""
        numbers = self.memory[run, layout.VALUE : layout.EPSILON].tolist()
        return {name: numbers[i] for i, name in self.names[run].items()}

    def evaluate(self) -> None:
        """Compute objective and gradient at theta, without a step."""
        self.advance(NO_STEP, NO_RATES, -1, 0)

    def advance(self, optimizer: Optimizer, rates: Array, start: int, stop: int) -> None:
        """Train from step ``start``, or -1 where nothing was evaluated yet, to step ``stop``."""
        rule = [*RULES].index(optimizer.rule)
        numbers = tuple(float(number) for number in (*optimizer.numbers, optimizer.decay))
        state = self.memory, self.marks, self.sizes
        load()(*state, rule, numbers, rates, start, stop, self.ended)


def known_terms(objective: Objective) -> dict[int, str]:
    """Return the names of what the kernel computes, the fit first, by the index of its weight."""
    names = {layout.FIT: "fit"}
    for name, (_, loss) in objective.active.items():
        if type(loss) in WEIGHT_OF:
            names.setdefault(WEIGHT_OF[type(loss)], name)
    return names


def riding(objective: Objective) -> dict[str, tuple[float, StructuralLoss]]:
    """Return the terms that the kernel does not compute."""
    known = known_terms(objective).values()
    return {name: term for name, term in objective.active.items() if name not in known}


@dataclass(frozen=True, eq=False)
class RidingForward(Forward):
    """The forward pass of `KernelRuns` at their parameters, with f as the kernel has it."""

    runs: KernelRuns

    @cached_property
    def output(self) -> Array:
        """(R, N): f_n."""
        f, runs = np.empty_like(self.y), self.runs
        rows = runs.memory[:, runs.at.f : runs.at.f + runs.at.n]
        np.put_along_axis(f, runs.order, rows, axis=1)
        return read_only(f)
