"""Is a structural loss right? What a custom loss must pass before it trains.

Everything is tried on small random networks, on batches of 3 runs; N inputs and K neurons are both
equal and different, D is 1 and 2.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlpspec.arrays import Array
from mlpspec.errors import InputError, LossError, is_interrupt, one_line, unknown
from mlpspec.losses.base import StructuralLoss
from mlpspec.losses.differences import (
    NEGLIGIBLE,
    NOTHING,
    Compared,
    central_differences,
    gradient_faults,
    rough_faults,
    where,
)
from mlpspec.losses.formula import Formula, explained
from mlpspec.losses.trials import (
    FAR,
    LONG,
    N_RUNS,
    SHAPES,
    SPREADS,
    copied,
    elsewhere,
    extremes,
    trial,
)
from mlpspec.network.forward import QUANTITIES, Forward, backward, check_partial
from mlpspec.network.neurons import NEURONS
from mlpspec.opened import is_library


@dataclass(frozen=True)
class Check:
    """One thing that was tried: its name, ``"ok"`` or ``"note"``, and what was found.

    ``value`` is the number behind ``detail``, a largest relative error, or NaN without one.

    Examples
    --------
    >>> Check("one neuron", "ok", "works for K = 1").value
    nan
    """

    name: str
    verdict: str
    detail: str
    value: float = math.nan


@dataclass(frozen=True)
class LossReport:
    """What `check_loss` found out about a loss that passed; ``print`` shows it as a table.

    Examples
    --------
    >>> from mlpspec.losses import Overlap
    >>> print(LossReport(Overlap(), (Check("one neuron", "ok", "works for K = 1"),)))
    Overlap(reduction='mean') passes
    ok    one neuron    works for K = 1
    """

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
      the value to 1e-6: near the origin, where prototypes spread to 3, 10 and 100, and in networks
      such as training leaves (a prototype expelled, two close together, steep slopes). Entries at
      a kink, where differences of step sizes from 1e-2 to 1e-6 do not settle, are left out and
      counted; more than a quarter of any field near the origin is a fault;
    - value and partials are finite where all neurons are the same, where they lie on an input and
      where prototypes are 1e6 away.

    Reported, and not required: invariance under permuting the neurons, single precision, a single
    neuron (K = 1), and a gradient that is 0 everywhere, of which nothing was learnt.

    Parameters
    ----------
    loss : StructuralLoss
    neuron : str, default "ridge"
        The neurons that it is tried on.

    Returns
    -------
    LossReport

    Raises
    ------
    LossError
        (a `ValueError`) Naming each fault in a line: what is wrong, where, expected and found,
        and the likely reason where there is a pattern, such as a missing mean over N.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class MeanOutput(StructuralLoss):
    ...     def value_and_grad(self, forward):
    ...         return forward.output.mean(), {}
    >>> check_loss(MeanOutput())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mlpspec.errors.LossError: MeanOutput(): value is a single number for 3 runs; expected one ...
    """
    if neuron not in NEURONS:
        raise unknown("neuron", neuron, NEURONS)
    try:
        return LossReport(loss, tuple(_checks(loss, neuron)))
    except LossError as faults:
        name = repr(loss)
        if len(name) > 80 or "\n" in name:
            name = type(loss).__name__
        raise LossError(f"{name}: " + "\n".join(faults.args)) from None


def _checks(loss: StructuralLoss, neuron: str) -> Iterator[Check]:
    nets = [
        trial(neuron, *shape, n_inputs, spread)
        for n_inputs in (1, 2)
        for shape in SHAPES
        for spread in SPREADS
    ]
    yield _check_class(loss)
    yield _check_returns(loss, nets)
    yield _check_input(loss, nets)
    yield _check_runs(loss, [*nets, *(trial(neuron, *LONG, d, SPREADS[0]) for d in (1, 2))])
    near = _compare_near(loss, nets)
    bounded = _check_extremes(loss, neuron)  # overflow is named before a gradient far away
    yield from _check_gradient(loss, near, neuron)
    yield bounded
    yield _note_permutation(loss, nets)
    yield _note_single(loss, nets)
    yield _note_one(loss, neuron)


# -------------------------------------------------------------------------------- one call


def _raise(faults: list[str]) -> None:
    if faults:
        raise LossError(*faults)  # `check_loss` puts the name of the loss before them


def _call(loss: StructuralLoss, net: Forward) -> dict[str, Array]:
    """Return ``"value"`` and the partials by their names, once they have the right form."""
    try:
        with np.errstate(all="ignore"):
            returned: Any = loss.value_and_grad(net)
    except BaseException as error:  # whatever a user's code raises is a fault of the loss
        if is_interrupt(error):
            raise
        raise LossError(_exception_fault(loss, error)) from None
    if not isinstance(returned, tuple) or len(returned) != 2:
        what = "None" if returned is None else f"a {type(returned).__name__}"
        raise LossError(f"value_and_grad returned {what}; expected a tuple (value, partials)")
    value, partials = returned
    _raise([*_value_faults(value, net), *_partial_faults(partials, net)])
    result = {"value": value, **partials}
    _raise(
        [
            f"{_label(name)} is not finite: {np.count_nonzero(~np.isfinite(array))} of "
            f"{array.size} entries are NaN or infinite at {where(net)}"
            for name, array in result.items()
            if not np.isfinite(array).all()
        ]
    )
    return result


def _value(loss: StructuralLoss, net: Forward) -> Array:
    """Return the value alone, which a formula has without its derivatives."""
    if isinstance(loss, Formula):
        try:
            with np.errstate(all="ignore"):
                value = loss.values(net)
        except Exception as error:  # of what autograd's arrays would have let pass
            raise LossError(_exception_fault(loss, error)) from None
        if np.isfinite(value).all():
            return value
    return _call(loss, net)["value"]


def _label(name: str) -> str:
    return name if name == "value" else f"the partial of {name}"


def _exception_fault(loss: StructuralLoss, error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    # The loss's own line: a formula is called by autograd, from another file.
    own = [f for f in frames if not is_library(f.filename)][:1] or frames[1:2]
    place = "".join(f" ({Path(f.filename).name}, line {f.lineno}: {f.line})" for f in own)
    if isinstance(loss, Formula):
        what, mend = explained(error)
        return f"value raises: {what}{place}{f'; {mend}' if mend else ''}"
    if isinstance(error, ValueError) and "read-only" in str(error):
        return f"value_and_grad writes to its input, which is read-only: copy it first{place}"
    return f"value_and_grad raises {one_line(error)}{place}"


def _value_faults(value: Any, net: Forward) -> list[str]:
    n_runs, dtype = len(net.x), net.x.dtype
    expected = f"expected one number a run, (R,) = ({n_runs},)"
    if isinstance(value, int | float | np.ndarray | np.number) and np.ndim(value) == 0:
        return [
            f"value is a single number for {n_runs} runs; {expected}: likely a sum or mean over "
            "the runs too, give the axes, never axis 0"
        ]
    if not isinstance(value, np.ndarray):
        return [f"value is a {type(value).__name__}; {expected}, an array"]
    if value.shape != (n_runs,):
        return [f"value has shape {value.shape} at {where(net)}; {expected}"]
    return [f"value is {value.dtype}; expected {dtype} as the input"] * (value.dtype != dtype)


def _partial_faults(partials: Any, net: Forward) -> list[str]:
    if not isinstance(partials, Mapping):
        return [f"partials is a {type(partials).__name__}; expected a dict of arrays by name"]
    faults = []
    for name, partial in partials.items():
        if not isinstance(partial, np.ndarray):
            faults.append(f"{_label(name)} is a {type(partial).__name__}; expected an array")
        elif partial.dtype != net.x.dtype:
            faults.append(f"{_label(name)} is {partial.dtype}; expected {net.x.dtype} as the input")
        else:
            try:
                check_partial(net, name, partial)
            except InputError as error:
                faults.append(f"{error}, at {where(net)}")
    return faults


# -------------------------------------------------------------------------------- the groups


def _check_class(loss: object) -> Check:
    cls = type(loss)
    if isinstance(loss, type):
        raise LossError(f"this is the class; expected an instance, {loss.__name__}(...)")
    if not isinstance(loss, StructuralLoss):
        raise LossError(
            f"{cls.__name__} is no StructuralLoss; derive it from mlpspec.StructuralLoss"
        )
    # Asked of the class itself: a subclass of a dataclass need not be one.
    options = vars(cls).get("__dataclass_params__")
    if options is None:
        raise LossError(f"{cls.__name__} is no dataclass; decorate it with @dataclass(frozen=True)")
    if not options.frozen:
        raise LossError(f"{cls.__name__} is not frozen; decorate it with @dataclass(frozen=True)")
    try:
        hash(loss)
    except TypeError as error:
        raise LossError(
            f"{cls.__name__} cannot be hashed ({error}); its fields must be scalars"
        ) from None
    return Check("class", "ok", "a frozen, hashable dataclass")


def _check_returns(loss: StructuralLoss, nets: list[Forward]) -> Check:
    names = {name for net in nets for name in _call(loss, copied(net))} - {"value"}
    return Check(
        "returns", "ok", f"value (R,), partials of {', '.join(sorted(names)) or 'nothing'}"
    )


def _check_input(loss: StructuralLoss, nets: list[Forward]) -> Check:
    before = hash(loss), repr(loss)
    for net, other in zip(nets, [*nets[1:], nets[0]], strict=True):
        given = copied(net)
        first = _call(loss, given)
        bits, left = _bits(first), _bits(_inputs(given))
        faults = [
            f"value_and_grad changes its input {name}: copy it first"
            for name, was in _bits(_inputs(copied(net))).items()
            if left[name] != was
        ]
        _call(loss, copied(other))
        if _bits(first) != bits:
            faults.append("a later call overwrites what an earlier one returned: make new arrays")
        if _bits(_call(loss, copied(net))) != bits:
            faults.append("the same input gives other bits the second time: keep no state")
        if (hash(loss), repr(loss)) != before:
            faults.append("value_and_grad changes the fields of the loss: keep no state")
        _raise(faults)
    return Check("input", "ok", "left as it was; the same input gives the same bits")


def _inputs(net: Forward) -> dict[str, Array]:
    """Return all that a loss may read."""
    return {**vars(net.params), **{name: getattr(net, name) for name in ("x", "y", *QUANTITIES)}}


def _bits(result: dict[str, Array]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in result.items()}


def _check_runs(loss: StructuralLoss, nets: list[Forward]) -> Check:
    batches = {
        "in a permuted batch": np.roll(np.arange(N_RUNS), 1),
        **{f"alone (run {r})": np.array([r]) for r in range(N_RUNS)},
    }
    for net in nets:
        whole = _call(loss, copied(net))
        for when, rows in batches.items():
            other = _call(loss, copied(net, rows))
            if set(other) != set(whole):
                raise LossError(f"other partials are returned {when}: always return the same")
            for name, array in other.items():
                if array.tobytes() != whole[name][rows].tobytes():
                    raise LossError(
                        f"{_label(name)} of a run changes with its neighbours: at {where(net)} an "
                        f"entry is {_leak(when, whole[name][rows], array)}"
                    )
    return Check("runs", "ok", "each has the same bits alone, in a batch and in a permuted batch")


def _leak(when: str, batch: Array, other: Array) -> str:
    """Describe how what a run gets changes with its neighbours."""
    gap = np.abs(batch - other)
    worst = np.unravel_index(gap.argmax(), gap.shape)
    scale = np.abs(other).max()
    text = f"{batch[worst]:.6g} in a batch of {N_RUNS} and {other[worst]:.6g} {when}"
    if gap[worst] < 1e-9 * scale:
        return (
            f"{text}, {gap[worst] / scale:.1g} of the largest apart: likely a sum or a product "
            "whose order depends on the number of runs; sum over a contiguous last axis "
            "(reshape to (R, -1)) or use np.matmul run by run"
        )
    for ratio, word in ((N_RUNS, "divided"), (1 / N_RUNS, "multiplied")):
        if len(other) == 1 and np.allclose(other, ratio * batch, rtol=1e-9, atol=1e-12 * scale):
            return f"{text}: it is {word} by the number of runs R; likely a mean over R"
    return f"{text}: likely something is reduced over axis 0, the runs"


def _check_extremes(loss: StructuralLoss, neuron: str) -> Check:
    faults: list[str] = []
    for n_inputs in (1, 2):
        for place, net in extremes(neuron, n_inputs).items():
            try:
                _call(loss, copied(net))
            except LossError as found:
                faults += [f"{place}: {fault}" for fault in found.args]
    _raise(faults)
    return Check("extremes", "ok", "finite where neurons coincide, lie on an input or are 1e6 away")


# -------------------------------------------------------------------------------- the gradient


def _compare_near(loss: StructuralLoss, nets: list[Forward]) -> list[Compared]:
    """Return the gradients near the origin beside their differences, once they agree."""
    compared = [_compare(loss, net) for net in nets]
    _raise(rough_faults(compared))
    if any(one.wrong.any() for one in compared):
        raise LossError(*gradient_faults(compared, _reads(loss, nets[-1])))
    return compared


def _check_gradient(loss: StructuralLoss, compared: list[Compared], neuron: str) -> Iterator[Check]:
    """Go on from gradients that are right near the origin to where training leads."""
    usual = max(float(np.abs(one.expected).max()) for one in compared)
    for place, nets in elsewhere(neuron).items():
        there = [_compare(loss, net, max(NOTHING, NEGLIGIBLE * usual)) for net in nets]
        if any(one.wrong.any() for one in there):
            faults = gradient_faults(there, _reads(loss, nets[-1]))
            raise LossError(f"the gradient is right near the origin, and wrong {place}", *faults)
        compared = compared + there
    n_entries = sum(one.found.size for one in compared)
    n_skipped = sum(int(one.skipped.sum()) for one in compared)
    worst = max(float(one.error.max()) for one in compared)
    detail = (
        f"{n_entries - n_skipped} of {n_entries} entries compared, {n_skipped} skipped at kinks, "
        f"prototypes up to {FAR[-1]:g} from the origin; worst error {worst:.1g} of a run's largest "
        "entry"
    )
    yield Check("gradient", "ok", detail, worst)
    if max(np.abs(one.expected).max() for one in compared) < 1e10 * NOTHING:
        yield Check("force", "note", "the gradient is 0 everywhere: nothing was compared")


def _compare(loss: StructuralLoss, net: Forward, nothing: float = NOTHING) -> Compared:
    given = copied(net)
    partials = _call(loss, given)
    size = np.abs(partials.pop("value"))[:, None]

    def gradient(partials: dict[str, Array]) -> Array:
        with np.errstate(all="ignore"):
            return backward(given, partials).flatten()

    def values(flat: Array) -> Array:
        x, y = (np.repeat(array, len(flat) // N_RUNS, axis=0) for array in (net.x, net.y))
        moved = Forward(type(net.params).unflatten(flat, x.shape[2]), x, y)
        return _value(loss, copied(moved))

    expected, doubt, step = central_differences(values, net.params.flatten())
    scale = np.abs(expected).max(axis=1, keepdims=True)
    rounding = 4.0 * np.finfo(float).eps * size / step
    return Compared(
        net,
        {name: gradient({name: partial}) for name, partial in partials.items()},
        gradient(partials),
        expected,
        10.0 * doubt + rounding + nothing,
        10.0 * doubt > 1e-5 * scale + 1e-8 * size + nothing,
    )


def _reads(loss: StructuralLoss, net: Forward) -> set[str]:
    """Return which quantities of a forward pass the loss reads by itself."""
    given, reads = copied(net), set()

    class Watched(Forward):
        def __getattribute__(self, name: str) -> Any:
            reads.add(name)
            return getattr(given, name)

    with np.errstate(all="ignore"):
        loss.value_and_grad(Watched.__new__(Watched))
    return reads.intersection(QUANTITIES)


# -------------------------------------------------------------------------------- the notes


def _note_permutation(loss: StructuralLoss, nets: list[Forward]) -> Check:
    worst = 0.0
    for net in nets:
        order = np.roll(np.arange(net.shape[2]), 1)
        permuted = Forward(net.params.neurons(order), net.x, net.y)
        worst = max(worst, _difference(loss, copied(net), copied(permuted)))
    verdict, shown = ("ok", f"{worst:.1g}") if worst < 1e-9 else ("note", f"{worst:.3g}")
    detail = f"permuting the neurons changes the value by {shown}"
    return Check("permutation", verdict, detail, worst)


def _note_single(loss: StructuralLoss, nets: list[Forward]) -> Check:
    try:
        worst = max(_difference(loss, copied(net), copied(net, dtype=np.float32)) for net in nets)
    except LossError as faults:
        return Check("float32", "note", faults.args[0])
    detail = f"works in single precision; the value differs by {worst:.1g}"
    return Check("float32", "ok", detail, worst)


def _difference(loss: StructuralLoss, net: Forward, other: Forward) -> float:
    """Return the largest relative difference between the values of two batches."""
    value = _call(loss, net)["value"]
    difference = np.abs(_call(loss, other)["value"] - value) / np.maximum(np.abs(value), NOTHING)
    return float(difference.max())


def _note_one(loss: StructuralLoss, neuron: str) -> Check:
    try:
        _call(loss, copied(trial(neuron, 4, 1, 1, SPREADS[0])))
    except LossError as faults:
        return Check("one neuron", "note", faults.args[0])
    return Check("one neuron", "ok", "works for K = 1")
