"""Separation: prototypes should keep away from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mlpspec.losses.base import StructuralLoss, check_temperature
from mlpspec.model import Array, Forward, aligned_empty, exp_of_negated


@final
@dataclass(frozen=True)
class Separation(StructuralLoss):
    """Mean closeness of the pairs of prototypes.

        L = mean_{k<l} exp(-|p_k - p_l|^2 / tau)

    Repulsive; long-range at large tau. Zero for a single neuron, which has no pairs.
    dL/dp_k = -(2 / (tau K (K - 1) / 2)) sum_{l != k} (p_k - p_l) exp(-|p_k - p_l|^2 / tau).

    Parameters
    ----------
    temperature : float
        tau > 0, in squared units of the inputs.
    """

    temperature: float = 0.01

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def value_and_grad(self, forward: Forward) -> tuple[Array, dict[str, Array]]:
        """Return L (R,) and its partial derivative for ``"prototypes"``."""
        p = forward.prototypes
        n_hidden = p.shape[1]
        if n_hidden < 2:
            return np.zeros_like(p[:, 0, 0]), {"prototypes": np.zeros_like(p)}
        unit = self.temperature**-0.5
        table = forward.keep("round table", lambda: _RoundTable(p))
        close, push = table.meet(p * unit)
        n_pairs = n_hidden * (n_hidden - 1) / 2
        push *= -2.0 * unit / n_pairs
        return close * (1.0 / n_pairs), {"prototypes": push}


class _RoundTable:
    """Meets each pair of K seats once: seat k meets the seats k + 1 ... k + S, S = K // 2.

    With even K the meetings of the last row occur twice. Runs come last in every array here, so
    that to shift seats is to shift memory: meetings are (S, K, R).

    Parameters
    ----------
    p : (R, K, D)
        Whose shape and precision count.
    """

    def __init__(self, p: Array) -> None:
        n_runs, n_hidden, n_inputs = p.shape
        n_met = n_hidden // 2
        width = n_hidden + n_met
        step = p.itemsize * n_runs
        meetings = n_met, n_hidden, n_runs
        self._close = aligned_empty(meetings, p.dtype)
        self._gaps = [aligned_empty(meetings, p.dtype) for _ in range(n_inputs)]
        # The seats one after the other, and again those that the last ones meet.
        self._seats = aligned_empty((n_inputs, width, n_runs), p.dtype)
        self._ahead = [
            as_strided(seats[1:], meetings, (step, step, p.itemsize)) for seats in self._seats
        ]
        # Row s holds the meetings of seats k and k + s in column k + s - 1: a seat's gains are
        # then the sum of a slanted column, its losses that of an upright one. The rest stays 0.
        self._upright = aligned_empty((n_inputs, n_met, width, n_runs), p.dtype)
        self._upright.fill(0.0)
        self._slanted = [
            as_strided(table, meetings, ((width + 1) * step, step, p.itemsize))
            for table in self._upright
        ]

    def meet(self, p: Array) -> tuple[Array, Array]:
        """Return, of p (R, K, D), sum exp(-gap^2) (R,) and sum gap exp(-gap^2) (R, K, D).

        The first sum is over pairs k < l, the second over l with gap = p_k - p_l.
        """
        n_hidden = p.shape[1]
        close = self._close
        self._seats[:, :n_hidden] = p.transpose(2, 1, 0)
        self._seats[:, n_hidden:] = self._seats[:, : n_hidden // 2]
        for d, (seats, ahead, gap) in enumerate(
            zip(self._seats, self._ahead, self._gaps, strict=True)
        ):
            np.subtract(seats[:n_hidden], ahead, out=gap)
            if d == 0:
                np.square(gap, out=close)
            else:
                close += np.square(gap)
        exp_of_negated(close)
        if n_hidden % 2 == 0:
            close[-1] *= 0.5  # neighbours at half the table are met from both sides
        # Over meetings first, then over the seats of each run by itself, for which there is one
        # order of summation whatever the number of runs.
        pairs = np.ascontiguousarray(np.add.reduce(close, axis=0).T)
        push = np.empty_like(p)
        for d, (upright, slanted, gap) in enumerate(
            zip(self._upright, self._slanted, self._gaps, strict=True)
        ):
            np.multiply(gap, close, out=slanted)
            balance = np.add.reduce(slanted, axis=0)
            lost = np.add.reduce(upright, axis=0)
            balance[1:] -= lost[: n_hidden - 1]
            balance[0] -= lost[n_hidden - 1]
            balance[1 : 1 + n_hidden // 2] -= lost[n_hidden:]
            push[:, :, d] = balance.T
        return np.add.reduce(pairs, axis=1), push
