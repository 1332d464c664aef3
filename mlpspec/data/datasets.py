"""Where the training data comes from: inputs, targets, and the named random streams.

A data set is described by a text: a name, a name with arguments, ``clustered(clusters=3)``, or a
CSV file, ``file:PATH``. Inputs lie in a box, the domain, [-1, 1]^D unless another is given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np

from mlpspec.arrays import Array
from mlpspec.data.spec import build, canonical_form
from mlpspec.data.tabular import (
    MISSING,
    SCALINGS,
    canonical_columns,
    content_hash,
    read_columns,
    scaled,
)
from mlpspec.errors import InputError, expect_number, unknown


def stream(name: str, seed: int, n_samples: int, n_inputs: int) -> np.random.Generator:
    """Return the random stream ``name`` of a seed: of (seed, N, D) and the name alone.

    Runs that differ in their losses or settings therefore share data and start: they are paired.

    Examples
    --------
    >>> stream("data", seed=0, n_samples=3, n_inputs=1).random() == stream("data", 0, 3, 1).random()
    True
    >>> stream("data", 0, 3, 1).random() == stream("start", 0, 3, 1).random()
    False
    """
    entropy = [seed, n_samples, n_inputs, *name.encode()]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


@dataclass(frozen=True)
class Uniform:
    """Inputs uniform on the cube [low, high]^D, their domain.

    Raises
    ------
    ValueError
        ``low`` is not below ``high``.

    Examples
    --------
    >>> domain = Uniform()
    >>> domain.draw(stream("data", 0, 3, 2), n_samples=3, n_inputs=2).shape
    (3, 2)
    >>> domain.moved(2.0)
    Uniform(low=1.0, high=3.0)
    >>> midpoints, side = domain.cells(4, n_inputs=1)
    >>> midpoints[:, 0].tolist(), side
    ([-0.75, -0.25, 0.25, 0.75], 0.5)
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.width < math.inf:
            raise InputError(f"uniform has low={self.low:g}, high={self.high:g}; low must be less")

    @property
    def domain(self) -> Uniform:
        """Itself."""
        return self

    @property
    def width(self) -> float:
        """Width of the domain along each dimension."""
        return self.high - self.low

    def draw(self, rng: np.random.Generator, n_samples: int, n_inputs: int) -> Array:
        """Draw inputs (N, D)."""
        return rng.uniform(self.low, self.high, (n_samples, n_inputs))

    def moved(self, shift: float) -> Uniform:
        """Return the domain moved by ``shift`` in every dimension."""
        return Uniform(self.low + shift, self.high + shift) if shift else self

    def cells(self, n_points: int, n_inputs: int) -> tuple[Array, float]:
        """Return the midpoints (n_points, D) of equal cells of the domain, and the cells' side.

        Above one dimension, n_points of the ceil(n_points^(1/D))^D cells, evenly chosen in their
        row-major order.
        """
        side = round(n_points ** (1.0 / n_inputs))
        side += side**n_inputs < n_points
        ticks = self.low + (np.arange(side) + 0.5) * self.width / side
        # In whole numbers of any size: there are side^D cells.
        chosen = [k * side**n_inputs // n_points for k in range(n_points)]
        index = [[cell // side**d % side for d in reversed(range(n_inputs))] for cell in chosen]
        return np.asarray(ticks[np.array(index)]), self.width / side


@dataclass(frozen=True)
class Clustered:
    """Inputs uniform in cubes of half-width radius around random centres.

    The centres are uniform on [-1 + radius, 1 - radius]^D, so that all inputs lie in [-1, 1]^D;
    each input belongs to any of the clusters with equal probability.

    Raises
    ------
    ValueError
        ``clusters`` is below 1, or ``radius`` is not in (0, 1].

    Examples
    --------
    >>> x = Clustered(clusters=2, radius=0.1).draw(stream("data", 0, 50, 1), 50, 1)
    >>> x.shape, bool(np.abs(x).max() <= 1.0)
    ((50, 1), True)
    """

    clusters: int = 5
    radius: float = 0.05

    domain = Uniform()

    def __post_init__(self) -> None:
        expect_number(f"clustered has clusters={self.clusters}", self.clusters, whole=True, least=1)
        expect_number(f"clustered has radius={self.radius:g}", self.radius, above=0.0, most=1.0)

    def draw(self, rng: np.random.Generator, n_samples: int, n_inputs: int) -> Array:
        """Draw inputs (N, D)."""
        reach = 1.0 - self.radius
        centres = rng.uniform(-reach, reach, (self.clusters, n_inputs))
        cluster = rng.integers(self.clusters, size=n_samples)
        x = centres[cluster] + rng.uniform(-self.radius, self.radius, (n_samples, n_inputs))
        return np.asarray(x.clip(-1.0, 1.0))  # rounding may leave the domain


@dataclass(frozen=True)
class Grid:
    """Inputs in the middle of equal cells of [low, high]^D, jittered by a share of a cell.

    The cells are those of `Uniform.cells`; ``jitter`` is the width of the uniform noise. Without
    any, all seeds have the same inputs.

    Raises
    ------
    ValueError
        ``jitter`` is not in [0, 1], or ``low`` is not below ``high``.

    Examples
    --------
    >>> Grid().draw(stream("data", 0, 4, 1), n_samples=4, n_inputs=1)[:, 0].tolist()
    [-0.75, -0.25, 0.25, 0.75]
    """

    jitter: float = 0.0
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.jitter <= 1.0:
            raise InputError(f"grid has jitter={self.jitter:g}; it must be from 0 to 1")
        if not 0.0 < self.high - self.low < math.inf:
            raise InputError(f"grid has low={self.low:g}, high={self.high:g}; low must be less")

    @property
    def domain(self) -> Uniform:
        """Where the inputs come from."""
        return Uniform(self.low, self.high)

    def draw(self, rng: np.random.Generator, n_samples: int, n_inputs: int) -> Array:
        """Draw inputs (N, D)."""
        x, side = self.domain.cells(n_samples, n_inputs)
        noise = rng.uniform(-0.5, 0.5, x.shape) * (self.jitter * side)
        return np.asarray((x + noise).clip(self.low, self.high))


@dataclass(frozen=True)
class FileData:
    r"""Rows of a CSV file: its columns of the setting columns, scaled to [-1, 1]^D.

    The columns are centred and divided as `mlpspec.data.tabular.scaled` says.

    Attributes
    ----------
    path : str
        For messages, and to read it; what counts is the content.
    content : str
        `mlpspec.data.tabular.content_hash` of the file.
    columns : tuple of str
        The inputs.
    scaling : str
    target : str, optional
        One more column, always scaled by itself.
    separator, decimal : str
        How the file is written; see `mlpspec.data.tabular.read_columns`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("a,b\n0,4\n2,8\n4,6\n")
    ...     file.flush()
    ...     data = FileData(file.name, content_hash(file.name), ("a", "b"))
    ...     data.read().tolist()
    [[-1.0, -1.0], [0.0, 1.0], [1.0, 0.0]]
    """

    path: str
    content: str
    columns: tuple[str, ...]
    scaling: str = SCALINGS[0]
    target: str | None = None
    separator: str = "comma"
    decimal: str = "point"

    domain = Uniform()

    def read(self) -> Array:
        """Return all rows (M, D), or (M, D + 1) with the target last, read-only.

        Raises
        ------
        ValueError
            The file cannot be read, is not the one that was described, or holds what cannot be
            used; the message says where.
        """
        if MISSING.fullmatch(canonical_columns(self.columns)):
            raise InputError(
                f"{self.path}: the column {self.columns[0]!r} would be read as no value in "
                "runs.csv; rename it"
            )
        more = () if self.target is None else (self.target,)
        names = (*self.columns, *more)
        table = read_columns(self.path, self.content, names, self.separator, self.decimal)
        inputs = table[:, : len(self.columns)]
        parts = [scaled(self.path, inputs, self.columns, self.scaling)]
        if more:
            parts.append(scaled(self.path, table[:, -1:], more, "columns"))
        return np.concatenate(parts, axis=1)

    def check_size(self, table: Array, n_samples: int, held_out: bool) -> None:
        """Raise `InputError` unless ``table`` has N rows to draw, and others to be held out."""
        told = f"{self.path} has {len(table)} rows, n_samples is {n_samples}"
        if n_samples > len(table):
            raise InputError(f"{told}; give smaller sizes")
        if held_out and n_samples == len(table):
            raise InputError(
                f"{told}, and early_stopping=held_out needs rows that are not trained on; give "
                "smaller sizes"
            )

    def draw(
        self, rng: np.random.Generator, table: Array, n_samples: int, held_out: bool = False
    ) -> Array:
        """Draw N rows of ``table`` without replacement, or return the others, at most N."""
        self.check_size(table, n_samples, held_out)
        drawn = rng.choice(len(table), n_samples, replace=False)
        if held_out:
            drawn = np.setdiff1d(np.arange(len(table)), drawn)[:n_samples]
        return np.asarray(table[drawn])


def sine(x: Array, rng: object = None) -> Array:
    """y = sin(pi x_1) prod_{d >= 2} cos(pi x_d).

    x is (..., N, D), here and in the other targets, y is (..., N).

    Examples
    --------
    >>> sine(np.array([[0.5, 0.0], [0.5, 1.0]])).tolist()
    [1.0, -1.0]
    """
    return np.asarray(np.sin(np.pi * x[..., 0]) * np.cos(np.pi * x[..., 1:]).prod(axis=-1))


def double_sine(x: Array, rng: object = None) -> Array:
    """y = sin(2 pi x_1) prod_{d >= 2} cos(2 pi x_d): `sine` of twice the frequency.

    Examples
    --------
    >>> double_sine(np.array([[0.25, 0.0], [0.25, 0.5]])).tolist()
    [1.0, -1.0]
    """
    return sine(2.0 * x)


def identity(x: Array, rng: object = None) -> Array:
    """y = x_1.

    Examples
    --------
    >>> identity(np.array([[0.5, 0.0], [-0.2, 1.0]])).tolist()
    [0.5, -0.2]
    """
    return x[..., 0].copy()


def random(x: Array, rng: np.random.Generator) -> Array:
    """y uniform on [-1, 1], whatever x is: nothing but memory can fit it.

    Examples
    --------
    >>> x = np.zeros((4, 1))
    >>> random(x, stream("target", 0, 4, 1)).shape
    (4,)
    """
    return rng.uniform(-1.0, 1.0, x.shape[:-1])


def mean_spacing(width: float, n_samples: int, n_inputs: int) -> float:
    """g = width / N^(1/D): the side of the cube that each of N inputs has to itself.

    Examples
    --------
    >>> mean_spacing(2.0, n_samples=4, n_inputs=1), mean_spacing(2.0, n_samples=4, n_inputs=2)
    (0.5, 1.0)
    """
    return float(width / n_samples ** (1.0 / n_inputs))


Dataset = Uniform | Clustered | Grid
DATASETS: dict[str, type[Dataset]] = {"uniform": Uniform, "clustered": Clustered, "grid": Grid}
TARGETS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "sine": sine,
    "double_sine": double_sine,
    "identity": identity,
    "random": random,
}
"""Targets as functions of the inputs and the stream ``"target"``."""

FILE, COLUMN = "file:", "column:"
"""How the description of a data set, or of a target, begins that comes from a file."""

_KNOWN: dict[str, Callable[..., Any]] = {**DATASETS, "file:PATH.csv": FileData}
"""The last one for messages: a description that begins like a file's is not looked up."""


def canonical_dataset(text: Any) -> str:
    """Return a description of a data set in the one form that equal ones share.

    Arguments at their defaults are left out, the others come in the order of the fields. A file
    gets the hash of its content, ``file:PATH@0123456789abcdef``; one that has it is not read.

    Raises
    ------
    ValueError
        An unknown name, arguments that do not fit it, or a file that cannot be read.

    Examples
    --------
    >>> canonical_dataset("clustered(5, radius=0.1)")
    'clustered(radius=0.1)'
    """
    if isinstance(text, str) and text.startswith(FILE):
        path, content = file_parts(text)
        return f"{FILE}{path}@{content or content_hash(path)}"
    return _canonical(text)


_canonical = canonical_form(_KNOWN, "dataset", "grid(jitter=0.5)")


def file_parts(text: str) -> tuple[str, str]:
    """Return the path and the content's hash, or "", of ``file:PATH`` or ``file:PATH@HASH``.

    Examples
    --------
    >>> file_parts("file:wheat.csv"), file_parts("file:wheat.csv@0123456789abcdef")
    (('wheat.csv', ''), ('wheat.csv', '0123456789abcdef'))
    """
    found = re.fullmatch(r"(.*?)(?:@([0-9a-f]{16}))?", text.removeprefix(FILE), re.DOTALL)
    assert found is not None
    if not found[1]:
        raise InputError(f"dataset is {text!r}; it must look like file:PATH.csv")
    return found[1], found[2] or ""


@cache
def read_dataset(text: str) -> Dataset:
    """Return the data set, other than a file, that a description stands for.

    Raises
    ------
    ValueError
        An unknown name, or arguments that do not fit it.

    Examples
    --------
    >>> read_dataset("grid(0.5)")
    Grid(jitter=0.5, low=-1.0, high=1.0)
    """
    return cast(Dataset, build(text, _KNOWN, "dataset"))


def canonical_target(text: Any) -> str:
    """Return the name of a target, or ``column:NAME``.

    Raises
    ------
    ValueError
        An unknown name.

    Examples
    --------
    >>> canonical_target("sine"), canonical_target("column: area")
    ('sine', 'column:area')
    """
    if isinstance(text, str) and text.startswith(COLUMN):
        name = text.removeprefix(COLUMN).strip()
        if not name:
            raise InputError(f"target is {text!r}; it must look like column:NAME")
        return COLUMN + name
    if not isinstance(text, str) or text not in TARGETS:
        raise unknown("target", text, [*TARGETS, "column:NAME"])
    return str(text)
