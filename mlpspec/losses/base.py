"""What a loss is: a term of the objective."""

from __future__ import annotations

from abc import ABC, abstractmethod

from mlpspec.arrays import Array
from mlpspec.errors import expect_number, unknown
from mlpspec.network.forward import Forward


class StructuralLoss(ABC):
    """A training bias: a scalar per run that depends on where and how the neurons respond.

    A subclass is a frozen dataclass with one method. It differentiates with respect to what it
    reads; the chain rule from there to the parameters is the network's. The fit and the penalties
    on weights, which are no training bias, are terms of the same form.

    Examples
    --------
    >>> import numpy as np
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Centred(StructuralLoss):
    ...     def value_and_grad(self, forward):  # L = mean_k |p_k|^2
    ...         p = forward.prototypes
    ...         value = np.square(p).reshape(len(p), -1).sum(axis=1) / p.shape[1]
    ...         return value, {"prototypes": (2 / p.shape[1]) * p}
    >>> Centred()
    Centred()
    """

    @abstractmethod
    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return the loss and its partial derivatives.

        Parameters
        ----------
        forward : Forward
            The networks and their data; its arrays are read-only.

        Returns
        -------
        value : (R,)
            The unweighted loss of each run.
        partials : dict of str to array
            dL/dq for every quantity q of ``forward`` that was read (``"hidden"``, ``"response"``,
            ``"squared_response"``, ``"prototypes"``, ``"output"``, ``"preactivation"`` or a field
            of the params), of q's shape.
        """


LATER = {"later": True}
"""Metadata of a field that a loss got after runs were stored: at its default it is in no key."""

REDUCTIONS = ("mean", "neuron", "sum")
"""How the K (K - 1) / 2 pairs of neurons are put together: see `n_pairs`."""


def n_pairs(n_hidden: int, reduction: str) -> float:
    """Return by what a sum over the pairs of neurons is divided.

    ``mean``: the number of pairs, K (K - 1) / 2. ``neuron``: K / 2, which leaves the mean over
    neurons of each one's sum over the others. ``sum``: 1. All three agree for two neurons; with
    more, a mean gives each pair the less the more neurons there are. It is 1 for a single neuron,
    which has no pairs: a sum over none is then 0 rather than 0/0.

    Examples
    --------
    >>> [n_pairs(4, reduction) for reduction in REDUCTIONS], n_pairs(1, "mean")
    ([6.0, 2.0, 1.0], 1.0)
    """
    pairs = {"mean": n_hidden * (n_hidden - 1) / 2.0, "neuron": n_hidden / 2.0, "sum": 1.0}
    return pairs[reduction] if n_hidden > 1 else 1.0


def check_reduction(reduction: str) -> None:
    """Raise `InputError` unless ``reduction`` is one of `REDUCTIONS`.

    Examples
    --------
    >>> check_reduction("total")
    Traceback (most recent call last):
    mlpspec.errors.InputError: unknown reduction 'total'; known: mean, neuron, sum
    """
    if reduction not in REDUCTIONS:
        raise unknown("reduction", reduction, REDUCTIONS)


def check_temperature(temperature: float) -> None:
    """Raise `InputError` unless ``temperature`` is a finite positive number.

    Examples
    --------
    >>> check_temperature(0.0)
    Traceback (most recent call last):
    mlpspec.errors.InputError: temperature is 0.0; it must be finite and above 0
    """
    expect_number(f"temperature is {temperature}", temperature, above=0.0)
