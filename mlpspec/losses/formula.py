"""A loss from its formula alone: the derivatives come by automatic differentiation.

HIPS autograd records what a formula computes from the quantities that it reads, and goes back
through that record; `Forward.pull_back` goes on from there. What a formula does not read is not
differentiated. One network at a time: Python runs the formula for each run and step.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from mlpspec.arrays import Array
from mlpspec.errors import InputError, import_extra, one_line, unknown
from mlpspec.losses.base import StructuralLoss
from mlpspec.network.forward import QUANTITIES, Forward

Partials = dict[str, Array]

DATA = ("x", "y")
"""What a formula may read of a network beside `QUANTITIES` and the parameters."""

HINT = (
    "autograd differentiates most of NumPy's functions on whole arrays, and some of SciPy's as "
    "autograd.scipy; write it by those, or write value_and_grad"
)
ANEW = "make arrays anew: np.where in place of parts that are assigned, of np.array np.stack"
COUNTED = "what counts has no derivative: take weights, such as np.exp(-((p - c) ** 2))"
SORTED = "take np.sort of one column, and its entries by their places"
MENDS = {
    **dict.fromkeys(("median", "percentile", "quantile"), SORTED),
    **dict.fromkeys(("unique", "histogram", "digitize", "bincount"), COUNTED),
    "interp": "write its pieces with np.where",
    "eigvalsh": "take np.linalg.eigh(a)[0]",
    **dict.fromkeys(("qr", "lstsq"), "take np.linalg.solve of the normal equations"),
    **dict.fromkeys(("matrix_rank", "cond"), "take what np.linalg.svd gives"),
    "take_along_axis": "give the indices, as a[np.arange(len(a)), i]",
    "reduce": "take np.sum, np.max or np.min",
    "outer": "take np.multiply of a[:, None] and b",
    "at": ANEW,
    "out": ANEW,
}
"""What to write in place of what autograd cannot differentiate, by the name that it has there."""


def explained(error: BaseException) -> tuple[str, str]:
    """Return what an error says of a formula that cannot be differentiated, and how to mend it.

    Examples
    --------
    >>> explained(NotImplementedError("VJP of median wrt argnums (0,) not defined"))
    ('autograd cannot differentiate np.median', 'take np.sort of one column, and its entries by \
their places')
    """
    said = one_line(error)
    if found := re.search(r"VJP of (\w+) wrt|<ufunc '(\w+)'>, '(\w+)'", said):
        name, method = found[1] or found[2], (found[3] or "__call__").replace("__call__", "")
        method = method or ("out" if ", out=" in said else "")
        modules = {"np.": np, "np.linalg.": np.linalg}
        where = next((prefix for prefix, module in modules.items() if hasattr(module, name)), "")
        what = f"autograd cannot differentiate {where}{name}{f' ({method})' if method else ''}"
        mend = MENDS.get(method or name, HINT)
        return what, mend if where else f"it is not NumPy's: {HINT}"
    if re.search("item assignment|array element with a sequence|read-only", said):
        return said, ANEW
    if found := re.search("'ArrayBox' object has no attribute '(\\w+)'", said):
        return f"what autograd follows has no {found[1]}", "call NumPy's functions, as np.sum(p)"
    if re.search("not '?ArrayBox", said):
        return said, "call np.exp and the like in place of math's, and leave float() out"
    return said, "" if isinstance(error, InputError | AttributeError) else HINT


class Formula(StructuralLoss):
    """A structural loss that is written as its value for one network, and nothing else.

    A subclass is a frozen dataclass with scalar fields and the method `value`. NumPy's functions
    are used as everywhere (``import numpy as np``); arrays are made anew and not written into. The
    extra ``autodiff`` of mlpspec installs what differentiates it. A run and step takes 0.1 to 0.3
    ms, by a gradient written by hand often less than a hundredth of that where there are few
    inputs; the numbers are the same to rounding.

    Raises
    ------
    InputError
        autograd is not installed, or a value that is not one real number.

    Examples
    --------
    >>> import numpy as np
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Anchored(Formula):
    ...     def value(self, net):  # mean_k min_n |p_k - x_n|^2
    ...         gap = net.prototypes[:, None] - net.x  # (K, N, D)
    ...         return np.mean(np.min(np.sum(gap**2, axis=2), axis=1))
    >>> from mlpspec import RidgeParams, forward
    >>> params = RidgeParams.placed(np.array([[0.5], [-1.0]]), np.ones(2), np.ones(2))
    >>> net = forward(params, np.array([[[0.0], [-1.0]]]), np.zeros((1, 2)))
    >>> value, partials = Anchored().value_and_grad(net)
    >>> value.round(6), {name: partial.round(6).tolist() for name, partial in partials.items()}
    (array([0.125]), {'prototypes': [[[0.5], [0.0]]]})
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Formula:
        """Make sure, before anything is trained, that there is what differentiates it."""
        _autograd()
        return super().__new__(cls)

    @abstractmethod
    def value(self, net: Any) -> Any:
        """Return the unweighted loss of one network.

        Parameters
        ----------
        net : Network
            ``net.prototypes`` (K, D), ``net.hidden`` and ``net.preactivation`` (N, K),
            ``net.output``, ``net.response`` and ``net.squared_response`` (N,), the parameters by
            their names (``net.output_weight`` (K,) and so on), and the data ``net.x`` (N, D) and
            ``net.y`` (N,).

        Returns
        -------
        value : one number
        """

    def values(self, forward: Forward) -> Array:
        """Return the loss of each run (R,) alone: without derivatives, which is faster."""
        arrays: Partials = {}
        nets = (Network(forward, run, arrays) for run in range(len(forward.x)))
        return np.array([_number(self.value(net)) for net in nets], dtype=forward.x.dtype)

    def value_and_grad(self, forward: Forward) -> tuple[Array, Partials]:
        """Return the loss and its partial derivatives by all that the formula read."""
        arrays: Partials = {}
        found = [_differentiated(self, forward, run, arrays) for run in range(len(forward.x))]
        values = np.array([value for value, _ in found], dtype=forward.x.dtype)
        partials = {
            name: np.stack(
                [of.get(name, np.zeros_like(array[run])) for run, (_, of) in enumerate(found)]
            ).astype(array.dtype, copy=False)
            for name, array in arrays.items()
            if name not in DATA
        }
        return values, partials


class Network:
    """One network of a forward pass, as a formula sees it; what is read is noted.

    Parameters
    ----------
    forward : Forward
    run : int
    arrays : dict of str to array
        What was read of any run, (R, ...); added to.
    note : callable, optional
        From the array of this run and its name to what the formula gets in its place.
    """

    def __init__(
        self,
        forward: Forward,
        run: int,
        arrays: Partials,
        note: Callable[[Array, str], Any] | None = None,
    ) -> None:
        vars(self).update(_of=(forward, run, arrays, note))

    def __getattr__(self, name: str) -> Any:  # the first time that a name is asked for
        forward, run, arrays, note = vars(self)["_of"]
        if name not in arrays:
            if name in (*DATA, *QUANTITIES):
                arrays[name] = getattr(forward, name)
            elif name in forward.params.AXES:
                arrays[name] = getattr(forward.params, name)
            else:
                known = (*DATA, *QUANTITIES, *forward.params.AXES)
                raise AttributeError(str(unknown("quantity of a network", name, known)))
        array = arrays[name][run]
        vars(self)[name] = given = note(array, name) if note and name not in DATA else array
        return given


def _differentiated(
    formula: Formula, forward: Forward, run: int, arrays: Partials
) -> tuple[float, Partials]:
    """Return the value of one network, and its derivatives by what the formula read."""
    make_vjp, read = _autograd()
    partials: Partials = {}

    def value(start: Any) -> Any:
        def note(array: Array, name: str) -> Any:
            return read(start, array, name, partials)

        return _number(formula.value(Network(forward, run, arrays, note))) + start

    pull_back, total = make_vjp(value)(0.0)
    pull_back(type(total)(1.0))
    return total, partials


def _number(found: Any) -> Any:
    """Return what a formula returned, if it is a number that autograd may have boxed."""
    number = getattr(found, "_value", found)
    if not isinstance(number, int | float | np.number | np.ndarray):
        kind = "None" if number is None else f"a {type(number).__name__}"
        raise InputError(f"value returned {kind}; expected one number")
    if np.shape(number) != ():
        raise InputError(
            f"value returned an array of shape {np.shape(number)}; expected one number, since it "
            "is of one network: likely a sum or mean is missing"
        )
    return found


@cache
def _autograd() -> tuple[Any, Any]:
    """Return autograd's ``make_vjp``, and the operation by which a formula reads an array.

    That operation is one of the number 0 from which all that is differentiated begins; what its
    derivative would be made of is what a formula's derivative by the array is.
    """
    why = "a loss given by its formula alone, without value_and_grad, needs autograd"
    import_extra("autograd", "autodiff", why)
    from autograd import make_vjp
    from autograd.extend import defvjp, primitive
    from autograd.numpy.numpy_boxes import ArrayBox

    if not hasattr(ArrayBox, "__array_function__"):
        ArrayBox.__array_function__ = _numpy_function

    def read(start: float, array: Array, name: str, partials: Partials) -> Array:
        return array

    def of_read(result: Array, start: float, array: Array, name: str, partials: Partials) -> Any:
        def note(of_array: Array) -> float:
            partials[name] = of_array
            return 0.0

        return note

    reading = primitive(read)
    defvjp(reading, of_read)
    return make_vjp, reading


def _numpy_function(
    self: Any, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call autograd's function in place of NumPy's of the same name.

    autograd does so for NumPy's elementwise functions alone; with this, formulas need not import
    ``autograd.numpy``.
    """
    name = f"{function.__module__}.{function.__name__}"
    own = getattr(import_module(f"autograd.{function.__module__}"), function.__name__, None)
    plain = getattr(own, "fun", None) is function  # knows of no boxes but its own arguments
    if own is None or (plain and not any(isinstance(each, type(self)) for each in args)):
        raise TypeError(f"autograd cannot differentiate {name} of these arguments")
    return own(*args, **kwargs)
