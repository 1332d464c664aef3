"""Is a structural loss right? What a loss of one's own must pass before it trains.

Everything is tried on small random networks, on batches of 3 runs; N inputs and K neurons are both
equal and different, D is 1 and 2.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.errors import InputError, LossError, unknown
from mlpspec.losses.base import StructuralLoss
from mlpspec.losses.differences import (
    NOTHING,
    TOLERANCE,
    Compared,
    central_differences,
    gradient_faults,
    rough_faults,
    where,
)
from mlpspec.network.forward import QUANTITIES, Forward, backward, respond
from mlpspec.network.neurons import NEURONS, Params

N_RUNS = 3
"""Runs of a batch: unlike any N, K and D below, so that a mean over it shows."""

SHAPES = ((2, 2), (5, 5), (4, 6), (7, 4))
"""(N, K) of the networks whose gradients are compared."""

SPREADS = ((1.5, 0.8, 0.1), (0.03, 0.01, 3e-3))
"""How far the prototypes of each run spread: as far as the inputs and beyond, or less and less."""

LONG = (33, 34)
"""(N, K) long enough for sums whose order depends on the layout of a batch."""


@dataclass(frozen=True)
class Check:
    """One thing that was tried: its name, ``"ok"`` or ``"note"``, and what was found.

    ``value`` is the number behind ``detail``, a largest relative error, or NaN without one.
    """

    name: str
    verdict: str
    detail: str
    value: float = math.nan


@dataclass(frozen=True)
class LossReport:
    """What `check_loss` found out about a loss that passed; ``print`` shows it as a table."""

    loss: StructuralLoss
    checks: tuple[Check, ...]

    def __str__(self) -> str:
        rows = [f"{check.verdict:4}  {check.name:12}  {check.detail}" for check in self.checks]
        return "\n".join([f"{self.loss!r} passes", *rows])


def check_loss(loss: StructuralLoss, *, neuron: str = "ridge") -> LossReport:
    """Check a structural loss, or raise with the name of its fault.

    In this order, and no further than the first that fails:

    - it is a `StructuralLoss`, a frozen and hashable dataclass;
    - ``value`` (R,) and the partials have the shapes and the precision of what was read, are
      finite, and every partial is of something that the model can differentiate;
    - the input is not written to, and the same input gives the same bits again;
    - a run's value and partials have the same bits alone, in a batch and in a permuted batch;
    - the gradient with respect to every parameter agrees with eighth-order central differences of
      the value to 1e-6. Entries at a kink, where differences of step sizes from 1e-2 to 1e-6 do not
      settle, are left out and counted; more than a quarter of any field is a fault;
    - value and partials are finite where all neurons are the same, where they lie on an input and
      where prototypes are 1e6 away.

    Reported, and not required: invariance under permuting the neurons, single precision, a single
    neuron (K = 1), and a gradient that is 0 everywhere, of which nothing was learnt.

    Parameters
    ----------
    loss : StructuralLoss
    neuron : str, default "ridge"
        The kind of the neurons that it is tried on.

    Returns
    -------
    LossReport

    Raises
    ------
    LossError
        (a `ValueError`) Naming each fault in a line: what is wrong, where, expected and found,
        and the likely reason where there is a pattern, such as a missing mean over N.
    """
    if neuron not in NEURONS:
        raise unknown("neuron", neuron, NEURONS)
    checked = _check_class(loss)
    cases = [
        _case(neuron, *shape, n_inputs, spread)
        for n_inputs in (1, 2)
        for shape in SHAPES
        for spread in SPREADS
    ]
    return LossReport(
        loss,
        (
            checked,
            _check_returns(loss, cases),
            _check_input(loss, cases),
            _check_runs(loss, [*cases, *(_case(neuron, *LONG, d, SPREADS[0]) for d in (1, 2))]),
            *_check_gradient(loss, cases),
            _check_extremes(loss, neuron),
            _note_permutation(loss, cases),
            _note_single(loss, cases),
            _note_one(loss, neuron),
        ),
    )


# -------------------------------------------------------------------------------- networks


def _networks(neuron: str, p: Array, rng: np.random.Generator) -> Params:
    """Return random networks whose neurons are placed at p (R, K, D)."""
    kind = NEURONS[neuron]
    slope = rng.uniform(0.7, 3.0, p.shape[:2]) * rng.choice([-1.0, 1.0], p.shape[:2])
    height = rng.standard_normal(p.shape[:2])
    runs = [kind.placed(*run).flatten() for run in zip(p, slope, height, strict=True)]
    flat = np.concatenate(runs)
    flat[:, -1] = rng.standard_normal(len(p))
    return kind.unflatten(flat, p.shape[2])


def _case(
    neuron: str, n_samples: int, n_hidden: int, n_inputs: int, spread: tuple[float, ...]
) -> Forward:
    """Return a batch of networks whose prototypes spread as far as told, run by run."""
    rng = np.random.default_rng([n_samples, n_hidden, n_inputs])
    p = np.array(spread)[:, None, None] * rng.uniform(-1.0, 1.0, (N_RUNS, n_hidden, n_inputs))
    x = rng.uniform(-1.0, 1.0, (N_RUNS, n_samples, n_inputs))
    return respond(_networks(neuron, p, rng), x, rng.standard_normal((N_RUNS, n_samples)))


def _fresh(passed: Forward, rows: Any = slice(None), dtype: Any = None) -> Forward:
    """Return a forward pass of copies of some runs, protected from writing."""

    def copy(array: Array) -> Array:
        own = np.array(array[rows], dtype=dtype or array.dtype, order="C")
        own.flags.writeable = False
        return own

    params = passed.params
    fields = {name: copy(value) for name, value in vars(params).items()}
    return respond(type(params)(**fields), copy(passed.x), copy(passed.y))


# -------------------------------------------------------------------------------- one call


class _Result(NamedTuple):
    value: Array
    partials: dict[str, Array]


def _raise(loss: object, faults: list[str]) -> None:
    if faults:
        raise LossError(f"{_name(loss)}: " + "\n".join(faults))


def _name(loss: object) -> str:
    text = repr(loss)
    return text if len(text) <= 80 and "\n" not in text else type(loss).__name__


def _call(loss: StructuralLoss, passed: Forward) -> _Result:
    """Return what the loss returns, once it has the right form."""
    result, faults = _try(loss, passed)
    _raise(loss, faults)
    return cast(_Result, result)


def _try(loss: StructuralLoss, passed: Forward) -> tuple[_Result | None, list[str]]:
    """Return what the loss returns, if its form is right, and its faults."""
    try:
        with np.errstate(all="ignore"):
            returned: Any = loss.value_and_grad(passed)
    except (Exception, SystemExit) as error:  # whatever a user's code raises is a fault of the loss
        return None, [_exception_fault(error)]
    if not isinstance(returned, tuple) or len(returned) != 2:
        kind = "None" if returned is None else f"a {type(returned).__name__}"
        return None, [f"value_and_grad returned {kind}; expected a tuple (value, partials)"]
    value, partials = returned
    faults = [*_value_faults(value, passed), *_partial_faults(partials, passed)]
    if not faults:
        faults = [
            f"{name} is not finite: {np.count_nonzero(~np.isfinite(array))} of {array.size} entries"
            f" are NaN or infinite at {where(passed)}"
            for name, array in {"value": value, **_labelled(partials)}.items()
            if not np.isfinite(array).all()
        ]
    return (None if faults else _Result(value, dict(partials))), faults


def _exception_fault(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[1:2]  # the loss's own line
    place = "".join(f" ({Path(f.filename).name}, line {f.lineno}: {f.line})" for f in frames)
    if isinstance(error, ValueError) and "read-only" in str(error):
        return f"value_and_grad writes to its input, which is read-only: copy it first{place}"
    return f"value_and_grad raises {type(error).__name__}: {error}{place}"


def _value_faults(value: Any, passed: Forward) -> list[str]:
    n_runs, dtype = len(passed.x), passed.x.dtype
    expected = f"expected one number a run, (R,) = ({n_runs},)"
    if isinstance(value, int | float | np.ndarray | np.number) and np.ndim(value) == 0:
        return [
            f"value is a single number for {n_runs} runs; {expected}: likely a sum or mean over "
            "the runs too, give the axes, never axis 0"
        ]
    if not isinstance(value, np.ndarray):
        return [f"value is a {type(value).__name__}; {expected}, an array"]
    if value.shape != (n_runs,):
        return [f"value has shape {value.shape} at {where(passed)}; {expected}"]
    return [f"value is {value.dtype}; expected {dtype} as the input"] * (value.dtype != dtype)


def _partial_faults(partials: Any, passed: Forward) -> list[str]:
    if not isinstance(partials, Mapping):
        return [f"partials is a {type(partials).__name__}; expected a dict of arrays by name"]
    faults = []
    for name, partial in partials.items():
        label = f"the partial of {name}"
        if not isinstance(partial, np.ndarray):
            faults.append(f"{label} is a {type(partial).__name__}; expected an array")
        elif partial.dtype != passed.x.dtype:
            faults.append(f"{label} is {partial.dtype}; expected {passed.x.dtype} as the input")
        else:
            try:
                _gradient(passed, {name: partial})
            except InputError as error:
                faults.append(f"{error}, at {where(passed)}")
    return faults


def _labelled(partials: Mapping[str, Array]) -> dict[str, Array]:
    return {f"the partial of {name}": partial for name, partial in partials.items()}


def _gradient(passed: Forward, partials: Mapping[str, Array]) -> Array:
    with np.errstate(all="ignore"):
        return backward(passed, partials).flatten()


# -------------------------------------------------------------------------------- the groups


def _check_class(loss: object) -> Check:
    _raise(loss, _class_faults(loss))
    return Check("class", "ok", "a frozen, hashable dataclass")


def _class_faults(loss: object) -> list[str]:
    if isinstance(loss, type):
        return [f"this is the class; expected an instance, {loss.__name__}(...)"]
    if not isinstance(loss, StructuralLoss):
        return [
            f"{type(loss).__name__} is no StructuralLoss; derive it from mlpspec.StructuralLoss"
        ]
    kind = type(loss)
    # Asked of the class itself: a subclass of a dataclass need not be one.
    if not is_dataclass(loss) or "__dataclass_params__" not in vars(kind):
        return [f"{kind.__name__} is no dataclass; decorate it with @dataclass(frozen=True)"]
    if not vars(kind)["__dataclass_params__"].frozen:
        return [f"{kind.__name__} is not frozen; decorate it with @dataclass(frozen=True)"]
    try:
        hash(loss)
    except TypeError as error:
        return [f"{kind.__name__} cannot be hashed ({error}); its fields must be scalars"]
    return []


def _check_returns(loss: StructuralLoss, cases: list[Forward]) -> Check:
    names = sorted({name for case in cases for name in _call(loss, _fresh(case)).partials})
    return Check("returns", "ok", f"value (R,), partials of {', '.join(names) or 'nothing'}")


def _check_input(loss: StructuralLoss, cases: list[Forward]) -> Check:
    before = hash(loss), repr(loss)
    for case, other in zip(cases, [*cases[1:], cases[0]], strict=True):
        passed = _fresh(case)
        first = _call(loss, passed)
        kept = _bits(first)
        faults = [
            f"value_and_grad changes its input {name}: copy it first"
            for name, array in _inputs(_fresh(case)).items()
            if _inputs(passed)[name].tobytes() != array.tobytes()
        ]
        _call(loss, _fresh(other))
        if _bits(first) != kept:
            faults.append("a later call overwrites what an earlier one returned: make new arrays")
        if _bits(_call(loss, _fresh(case))) != kept:
            faults.append("the same input gives other bits the second time: keep no state")
        if (hash(loss), repr(loss)) != before:
            faults.append("value_and_grad changes the fields of the loss: keep no state")
        _raise(loss, faults)
    return Check("input", "ok", "left as it was; the same input gives the same bits")


def _inputs(passed: Forward) -> dict[str, Array]:
    """Return all that a loss may read."""
    return {**vars(passed.params), **{n: getattr(passed, n) for n in ("x", "y", *QUANTITIES)}}


def _check_runs(loss: StructuralLoss, cases: list[Forward]) -> Check:
    batches = {
        "in a permuted batch": np.roll(np.arange(N_RUNS), 1),
        **{f"alone (run {r})": np.array([r]) for r in range(N_RUNS)},
    }
    for case in cases:
        whole = _flat(_call(loss, _fresh(case)))
        for when, rows in batches.items():
            other = _flat(_call(loss, _fresh(case, rows)))
            if set(other) != set(whole):
                _raise(loss, [f"other partials are returned {when}: always return the same"])
            for name, array in other.items():
                if array.tobytes() != whole[name][rows].tobytes():
                    _raise(loss, [_leak(name, when, rows, whole[name], array, case)])
    return Check("runs", "ok", "each has the same bits alone, in a batch and in a permuted batch")


def _leak(
    name: str, when: str, rows: NDArray[np.intp], whole: Array, other: Array, case: Forward
) -> str:
    """Describe how what a run gets changes with its neighbours."""
    batch = whole[rows].reshape(-1)
    other = other.reshape(-1)
    gap = np.abs(batch - other)
    worst = int(gap.argmax())
    scale = np.abs(other).max()
    text = (
        f"{name} of a run changes with its neighbours: at {where(case)} an entry is "
        f"{batch[worst]:.6g} in a batch of {N_RUNS} and {other[worst]:.6g} {when}"
    )
    if gap[worst] < 1e-9 * scale:
        return (
            f"{text}, {gap[worst] / scale:.1g} of the largest apart: likely a sum or a product "
            "whose order depends on the number of runs; sum over a contiguous last axis "
            "(reshape to (R, -1)) or use np.matmul run by run"
        )
    for ratio, word in ((N_RUNS, "divided"), (1 / N_RUNS, "multiplied")):
        if len(rows) == 1 and np.allclose(other, ratio * batch, rtol=1e-9, atol=1e-12 * scale):
            return f"{text}: it is {word} by the number of runs R; likely a mean over R"
    return f"{text}: likely something is reduced over axis 0, the runs"


def _check_extremes(loss: StructuralLoss, neuron: str) -> Check:
    faults = [
        f"{place}: {fault}"
        for n_inputs in (1, 2)
        for place, passed in _extremes(neuron, n_inputs).items()
        for fault in _try(loss, _fresh(passed))[1]
    ]
    _raise(loss, faults)
    detail = "finite where neurons coincide, lie on an input or are 1e6 away"
    return Check("extremes", "ok", detail)


def _extremes(neuron: str, n_inputs: int) -> dict[str, Forward]:
    """Return networks where formulas that are right elsewhere divide by 0 or overflow."""
    rng = np.random.default_rng(n_inputs)
    shape = (N_RUNS, 4, n_inputs)
    x, y = rng.uniform(-1.0, 1.0, shape), rng.standard_normal(shape[:2])
    far = rng.uniform(0.5, 1.0, shape) * 1e6
    mixed = rng.uniform(-1.0, 1.0, shape)
    mixed[:, 0] = 1e6

    one = _networks(neuron, mixed[:, 1:2], rng)
    repeated = {
        name: np.repeat(value, shape[1], axis=1) if "K" in one.AXES[name] else value
        for name, value in vars(one).items()
    }
    same = type(one)(**repeated)
    touching = x.copy()
    touching[:, 0] = same.prototypes[:, 0]
    return {
        "where all prototypes coincide": respond(same, x, y),
        "where all prototypes lie on one input": respond(same, touching, y),
        "where all prototypes are 1e6 away": respond(_networks(neuron, far, rng), x, y),
        "where one prototype is 1e6 away": respond(_networks(neuron, mixed, rng), x, y),
    }


# -------------------------------------------------------------------------------- the gradient


def _check_gradient(loss: StructuralLoss, cases: list[Forward]) -> list[Check]:
    compared = [_compare(loss, case) for case in cases]
    _raise(loss, rough_faults(compared))
    if any(one.wrong.any() for one in compared):
        _raise(loss, gradient_faults(compared, _reads(loss, cases[-1])))
    n_entries = sum(one.found.size for one in compared)
    n_skipped = sum(int(one.skipped.sum()) for one in compared)
    worst = max(float(one.error.max()) for one in compared)
    detail = (
        f"{n_entries - n_skipped} of {n_entries} entries compared, {n_skipped} skipped at kinks; "
        f"worst error {worst:.1g} of a run's largest entry"
    )
    checks = [Check("gradient", "ok", detail, worst)]
    if max(np.abs(one.expected).max() for one in compared) < 1e10 * NOTHING:
        checks.append(Check("force", "note", "the gradient is 0 everywhere: nothing was compared"))
    return checks


def _compare(loss: StructuralLoss, case: Forward) -> Compared:
    passed = _fresh(case)
    value, partials = _call(loss, passed)
    parts = {name: _gradient(passed, {name: partial}) for name, partial in partials.items()}

    def values(flat: Array) -> Array:
        x, y = (np.repeat(array, len(flat) // N_RUNS, axis=0) for array in (case.x, case.y))
        moved = respond(type(case.params).unflatten(flat, x.shape[2]), x, y)
        return _call(loss, _fresh(moved)).value

    expected, doubt, step = central_differences(values, case.params.flatten())
    size = np.abs(value)[:, None]
    scale = np.abs(expected).max(axis=1, keepdims=True)
    rounding = 4.0 * np.finfo(float).eps * size / step
    return Compared(
        case,
        parts,
        _gradient(passed, partials),
        expected,
        TOLERANCE * np.abs(expected) + 1e-8 * scale + 10.0 * doubt + rounding + NOTHING,
        10.0 * doubt > 1e-5 * scale + 1e-8 * size + NOTHING,
    )


def _reads(loss: StructuralLoss, case: Forward) -> set[str]:
    """Return which quantities of a forward pass the loss reads by itself."""
    watched = _Watched(**vars(_fresh(case)))
    with np.errstate(all="ignore"):
        loss.value_and_grad(watched)
    return set(object.__getattribute__(watched, "reads"))


class _Watched(Forward):
    """A forward pass that notes what is read of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "plain", Forward(**vars(self)))
        object.__setattr__(self, "reads", set())

    def __getattribute__(self, name: str) -> Any:
        if name not in QUANTITIES:
            return object.__getattribute__(self, name)
        object.__getattribute__(self, "reads").add(name)
        return getattr(object.__getattribute__(self, "plain"), name)


# -------------------------------------------------------------------------------- the notes


def _note_permutation(loss: StructuralLoss, cases: list[Forward]) -> Check:
    worst = 0.0
    for case in cases:
        order = np.roll(np.arange(case.prototypes.shape[1]), 1)
        fields = {
            name: value[:, order] if "K" in case.params.AXES[name] else value
            for name, value in vars(case.params).items()
        }
        permuted = _fresh(respond(type(case.params)(**fields), case.x, case.y))
        value, other = (_call(loss, passed).value for passed in (_fresh(case), permuted))
        size = np.maximum(np.abs(value), NOTHING)
        worst = max(worst, float((np.abs(value - other) / size).max()))
    if worst < 1e-9:
        detail = f"permuting the neurons changes the value by {worst:.1g}"
        return Check("permutation", "ok", detail, worst)
    detail = f"permuting the neurons changes the value by {worst:.3g}"
    return Check("permutation", "note", detail, worst)


def _note_single(loss: StructuralLoss, cases: list[Forward]) -> Check:
    worst = 0.0
    for case in cases:
        result, faults = _try(loss, _fresh(case, dtype=np.float32))
        if result is None:
            return Check("float32", "note", faults[0])
        value = _call(loss, _fresh(case)).value
        error = np.abs(result.value - value) / np.maximum(np.abs(value), NOTHING)
        worst = max(worst, float(error.max()))
    detail = f"works in single precision; the value differs by {worst:.1g}"
    return Check("float32", "ok", detail, worst)


def _note_one(loss: StructuralLoss, neuron: str) -> Check:
    faults = _try(loss, _fresh(_case(neuron, 4, 1, 1, SPREADS[0])))[1]
    return Check(
        "one neuron", "note" if faults else "ok", faults[0] if faults else "works for K = 1"
    )


def _flat(result: _Result) -> dict[str, Array]:
    return {"value": result.value, **_labelled(result.partials)}


def _bits(result: _Result) -> list[tuple[str, bytes]]:
    return [(name, array.tobytes()) for name, array in sorted(_flat(result).items())]
