"""A gradient beside high-order differences of its value: what is wrong with it, and why?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.network.forward import Forward

STEPS = tuple(10.0 ** (-i / 2) for i in range(4, 13))
"""Step sizes of the differences, of which each entry is judged at the one of least doubt."""

STENCIL = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
"""Weights of eighth-order central differences by offset."""

TOLERANCE = 1e-6
"""Relative error that a gradient may have, beside what the differences leave open."""

NOTHING = 1e-30
"""Below it there is nothing but exponentials that were cut."""

NEGLIGIBLE = 1e-9
"""Share of the largest entry near the origin below which an entry elsewhere is nothing."""

Law = Callable[[int, int, int], float]

LAWS: dict[str, tuple[Law, str]] = {
    "1": (lambda n, k, d: 1.0, ""),
    "2": (lambda n, k, d: 2.0, ""),
    "N": (lambda n, k, d: n, "the N inputs"),
    "K": (lambda n, k, d: k, "the K neurons"),
    "K (K - 1) / 2": (lambda n, k, d: k * (k - 1) / 2, "the pairs of neurons"),
    "K (K - 1)": (lambda n, k, d: k * (k - 1), "the ordered pairs of neurons"),
    "N K": (lambda n, k, d: n * k, "inputs and neurons"),
    "N K (K - 1) / 2": (lambda n, k, d: n * k * (k - 1) / 2, "inputs and pairs of neurons"),
    "D": (lambda n, k, d: d, "the D dimensions"),
}
"""Factors by which a gradient is often wrong, of (N, K, D), and what a mean of so many is over."""


class Compared(NamedTuple):
    """The returned gradient of a batch beside its differences, (R, P) unless stated."""

    net: Forward
    parts: dict[str, Array]  # the gradient that each partial adds
    found: Array
    expected: Array
    noise: Array  # what the differences leave open
    skipped: NDArray[np.bool_]

    @property
    def largest(self) -> Array:
        """Largest entry of each run (R, 1)."""
        return np.asarray(np.abs(self.expected).max(axis=1, keepdims=True))

    @property
    def tolerance(self) -> Array:
        """By how much an entry may be off."""
        return TOLERANCE * np.abs(self.expected) + 1e-8 * self.largest + self.noise

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Entries that are off by more than the tolerance."""
        off = np.abs(self.found - self.expected) > self.tolerance
        return cast("NDArray[np.bool_]", off & ~self.skipped)

    @property
    def error(self) -> Array:
        """Error relative to the largest entry of a run, 0 where skipped.

        Where that is so small that the differences do not tell it to the tolerance, as where a
        loss is all but constant, the error is relative to the least entry that they tell.
        """
        scale = np.maximum(self.largest, self.noise / TOLERANCE)
        return np.where(self.skipped, 0.0, np.abs(self.found - self.expected) / scale)

    def fields(self, flat: Array) -> dict[str, Array]:
        """Return (R, P) as the fields of the params."""
        return dict(vars(type(self.net.params).unflatten(flat, self.net.x.shape[2])))


def where(net: Forward) -> str:
    """Return the sizes of a batch in words, and how far prototypes lie where they are far."""
    sizes = f"N = {net.x.shape[1]}, K = {net.shape[2]}, D = {net.x.shape[2]}"
    reach = np.abs(net.prototypes).max()
    return sizes if reach < 2.0 else f"{sizes}, prototypes up to {reach:.3g} from the origin"


def central_differences(
    function: Callable[[Array], Array], flat: Array
) -> tuple[Array, Array, Array]:
    """Return the gradient of a function by eighth-order central differences.

    Parameters
    ----------
    function : callable
        From points (M, P) to values (M,).
    flat : (R, P)
        Where the gradient is taken.

    Returns
    -------
    gradient, doubt, step : (R, P)
        The doubt of a step size is the largest disagreement with any smaller one; those below the
        next count for less, as rounding grows with the inverse of the step. (The next alone would
        not do: what is narrow compared with both is seen by neither.) The step of the least doubt
        is taken. It stays large where a kink is nearer than the smallest step, and where the value
        is noise.
    """
    n_runs, size = flat.shape
    offsets = np.array([sign * offset for offset in STENCIL for sign in (1, -1)], dtype=float)
    weights = np.array([sign * weight for weight in STENCIL.values() for sign in (1, -1)])
    moves = offsets[:, None] * np.eye(size)[:, None, :]  # (P, 8, P)
    estimates = []
    for step in STEPS:
        moved = (flat[:, None, None, :] + step * moves).reshape(-1, size)
        values = function(moved).reshape(n_runs, size, -1)
        estimates.append((values * weights).sum(axis=2) / step)
    steps = np.array(STEPS)
    doubts = []
    for i, estimate in enumerate(estimates[:-1]):
        trust = (steps[i + 1 :] / steps[i + 1])[:, None, None]
        doubt = (np.abs(np.array(estimates[i + 1 :]) - estimate) * trust).max(axis=0)
        # By chance some entries agree better than the rounding of their run's value allows.
        doubts.append(np.maximum(doubt, np.quantile(doubt, 0.75, axis=1, keepdims=True)))
    best = np.array(doubts).argmin(axis=0)[None]
    expected, doubt = (
        np.take_along_axis(np.array(tried), best, axis=0)[0] for tried in (estimates, doubts)
    )
    return expected, doubt, steps[best[0]]


def rough_faults(compared: list[Compared]) -> list[str]:
    """Name the fields whose differences settle for too few entries to say anything."""
    faults = []
    for name in vars(compared[0].net.params):
        skipped = [one.fields(one.skipped)[name] for one in compared]
        n_skipped, n_entries = sum(map(np.count_nonzero, skipped)), sum(s.size for s in skipped)
        if n_skipped > n_entries / 4:
            faults.append(
                f"value is too rough to differentiate by {name}: its differences do not settle "
                f"for {n_skipped} of {n_entries} entries; likely it jumps, is random or is "
                "computed in single precision"
            )
    return faults


def gradient_faults(compared: list[Compared], reads: set[str]) -> list[str]:
    """Describe a wrong gradient: which part, the likely reason, and the worst entry.

    ``reads`` are the quantities of the forward pass that the loss reads.
    """
    faults = _scale_faults(compared) or _missing_faults(compared, reads)
    return [*faults, _worst_entry(compared)]


def _missing_faults(compared: list[Compared], reads: set[str]) -> list[str]:
    """Name what the value depends on and nothing was returned for."""
    returned = {name for one in compared for name in one.parts}
    wrong = [
        name
        for name in vars(compared[0].net.params)
        if any(one.fields(one.wrong)[name].any() for one in compared)
    ]
    faults = [
        f"the loss reads forward.{name} but returned no partial for it; likely that is missing"
        for name in sorted(reads - returned)
    ]
    faults += [
        f"value depends on {name} but no partial was returned for it, nor for anything that it "
        "feeds; its gradient is 0"
        for name in wrong
        if not any(one.fields(one.found)[name].any() for one in compared)
    ]
    if not faults and len(wrong) == 1 and wrong[0] not in returned:
        faults.append(
            f"only the gradient with respect to {wrong[0]} is wrong; likely the value depends on "
            "it directly too, and no partial was returned for it"
        )
    return faults


def _scale_faults(compared: list[Compared]) -> list[str]:
    """Name partials that would be right but for a factor, if that explains all that is wrong."""
    pairs: dict[str, list[tuple[Compared, float]]] = {}
    for one in compared:
        factors = _factors(one)
        if factors is None:
            return []
        for name, factor in factors.items():
            pairs.setdefault(name, []).append((one, factor))
    return [
        f"the partial of {name} {_describe(pairs[name])}"
        for name in sorted(pairs)
        if any(abs(factor - 1.0) > TOLERANCE for _, factor in pairs[name])
    ]


def _factors(one: Compared) -> dict[str, float] | None:
    """Return how many times too large each partial is, or None if no factors explain the errors."""
    kept = ~one.skipped
    parts = {name: part[kept] for name, part in one.parts.items()}
    parts = {name: part for name, part in parts.items() if np.linalg.norm(part) > NOTHING}
    if not parts:
        return None if one.wrong.any() else {}
    system = np.stack(list(parts.values()), axis=1)
    size = np.linalg.norm(system, axis=0)
    right, _, rank, _ = np.linalg.lstsq(system / size, one.expected[kept], rcond=1e-9)
    right /= size
    miss = np.abs(system @ right - one.expected[kept])
    if rank < len(parts) or not right.all():
        return None
    if (miss > 1e-6 * np.abs(one.expected[kept]).max() + one.tolerance[kept]).any():
        return None
    return {name: float(1.0 / factor) for name, factor in zip(parts, right, strict=True)}


def _describe(pairs: list[tuple[Compared, float]]) -> str:
    """Say what the factors of a partial, batch by batch, have in common."""
    for name, (law, what) in LAWS.items():
        for power, sign in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            ratios = [
                factor / (sign * law(*one.net.shape[1:], one.net.x.shape[2]) ** power)
                for one, factor in pairs
            ]
            if not np.allclose(ratios, 1.0, rtol=0.0, atol=TOLERANCE):
                continue
            if name == "1":
                return "has the wrong sign (ratio -1)"
            shown = f"({name})" if " " in name else name
            ratio = f"{'-' * (sign < 0)}{'1/' * (power < 0)}{shown}"
            text = f"is {name} times too {'large' if power > 0 else 'small'} (ratio {ratio})"
            text += ", and has the wrong sign" * (sign < 0)
            if what and power > 0:
                text += f"; likely it misses a mean over {what} that the value has"
            elif what:
                text += f"; likely it has a mean over {what} that the value has not"
            return text
    one, factor = max(pairs, key=lambda pair: abs(pair[1] - 1.0))
    return f"is {factor:.7g} times what it should be at {where(one.net)}"


def _worst_entry(compared: list[Compared]) -> str:
    one = max(compared, key=lambda one: float((one.error * one.wrong).max()))
    wrong = one.fields(one.wrong)
    errors = one.fields(np.where(one.wrong, np.abs(one.found - one.expected), -1.0))
    name = max(errors, key=lambda field: float(errors[field].max()))
    index = np.unravel_index(errors[name].argmax(), errors[name].shape)
    words = ("run", "neuron", "dimension")
    entry = ", ".join(f"{word} {i}" for word, i in zip(words, index, strict=False))
    found, expected = (one.fields(flat)[name][index] for flat in (one.found, one.expected))
    ratio = f" (ratio {found / expected:.7g})" if found and expected else ""
    counts = ", ".join(
        f"{np.count_nonzero(field)} of {field.size} in {key}" for key, field in wrong.items()
    )
    return (
        f"gradient with respect to {name} at {entry} is {found:.7g}; differences of the value give "
        f"{expected:.7g}{ratio}, at {where(one.net)}; wrong entries there: {counts}"
    )
