"""What a structural loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from mlpspec.arrays import Array
from mlpspec.errors import InputError
from mlpspec.network.forward import Forward


class StructuralLoss(ABC):
    """A training bias: a scalar per run that depends on where and how the neurons respond.

    A subclass is a final frozen dataclass with scalar fields and one method. It differentiates
    with respect to what it reads, never the parameters: the chain rule is the model's.

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


def check_temperature(temperature: float) -> None:
    """Raise `InputError` unless ``temperature`` is a finite positive number.

    Examples
    --------
    >>> check_temperature(0.0)
    Traceback (most recent call last):
    mlpspec.errors.InputError: temperature is 0.0; it must be finite and above 0
    """
    if not isinstance(temperature, int | float) or not 0.0 < temperature < float("inf"):
        raise InputError(f"temperature is {temperature}; it must be finite and above 0")
