"""From runs to batches: which runs train together, and in which order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Any

from mlpspec.data.spec import build
from mlpspec.running.compressing import uncompressed
from mlpspec.study.run import PROBLEM, Run, affecting
from mlpspec.training.engine import compilable
from mlpspec.training.optimizers import OPTIMIZERS

Batch = tuple[Run, ...]
"""Runs that train together: arrays of one shape, and the same training."""

BATCH_ELEMENTS = 2**17
"""Most responses (R N K) of a batch: of more, results would come in too rarely, and what is kept
of them would take a worker of the paper grid 8 MB more."""

BATCH_RUNS = 2**11
"""Most runs of a batch, for the same reason."""

CALL = 300
"""What a step of a run takes beside its responses, in responses."""

NEAR = 48
"""Samples, on a line, at which a neuron is not negligible, about, with as many neurons."""

SLOWER = 8
"""How much longer NumPy takes for a run than the kernel, about."""

TRAINED = affecting("training", "recording")
"""Settings in which the runs of a batch are equal, as they are in N, K and D."""


def plan(runs: Iterable[Run], n_jobs: int = 1, batch_size: int | None = None) -> list[Batch]:
    """Return the batches of ``runs``, the most work first.

    Runs share a batch if their arrays have one shape and their training one length and rule;
    losses, weights, temperatures, seeds and what is done to the trained networks may differ. With
    several workers no batch of several runs is by default larger than half of a worker's share of
    the work, so that all end at about the same time.

    Parameters
    ----------
    runs : iterable of Run
    n_jobs : int
        Workers, at least 1.
    batch_size : int, optional
        The most runs in a batch; by default as many as `BATCH_ELEMENTS` and `BATCH_RUNS` let in.
    """
    groups: dict[tuple[Any, ...], list[Run]] = {}
    total = 0
    for run in runs:
        shape = (run.n_samples, run.hidden_units, run.n_inputs)
        together = (*shape, *(getattr(run, name) for name in TRAINED))
        groups.setdefault(together, []).append(run)
        total += work(run)
    largest = total if n_jobs == 1 else total // (2 * n_jobs)
    batches = []
    described = (*affecting("objective"), *PROBLEM)
    for group in groups.values():
        # Runs of the same losses side by side, as NumPy trains them, and those of one network.
        group.sort(key=lambda run: [str(getattr(run, name)) for name in described])
        elements = group[0].n_samples * group[0].hidden_units
        limits = BATCH_RUNS, BATCH_ELEMENTS // elements, largest // work(group[0])
        size = batch_size or max(1, min(limits))
        count = -(-len(group) // size)
        edges = [len(group) * piece // count for piece in range(count + 1)]
        if batch_size is None:
            edges = sorted({_between_networks(group, edge) for edge in edges})
        batches += [tuple(group[a:b]) for a, b in pairwise(edges)]
    return sorted(batches, key=lambda batch: -sum(map(work, batch)))


def _between_networks(group: list[Run], edge: int) -> int:
    """Return the last place up to ``edge`` that parts no runs which compress one network."""
    while 0 < edge < len(group):
        if uncompressed(group[edge - 1]) != uncompressed(group[edge]):
            break
        edge -= 1
    return edge


def work(run: Run) -> int:
    """Return how much work a run is, in responses of the kernel; for balance and time left."""
    n, k = run.n_samples, run.hidden_units
    # On a line a neuron is computed where it is not negligible alone (`mlpspec.training.kernel`).
    responses = min(n * k, NEAR * max(n, k)) if run.n_inputs == 1 else n * k
    slower = SLOWER if way_of(run, "compiled") in ("NumPy", "L-BFGS") else 1
    return (run.steps + 1) * (responses + CALL) * slower


def way_of(run: Run, engine: str) -> str:
    """Return what trains a run: ``"the kernel"``, alone or with losses in NumPy, or something else.

    Examples
    --------
    >>> way_of(Run(), "compiled"), way_of(Run(), "numpy"), way_of(Run(jitter=0.1), "compiled")
    ('the kernel', 'NumPy', 'NumPy')
    """
    if _rule(run.optimizer) == "lbfgs":
        return "L-BFGS"
    if engine == "numpy" or not compilable(run.dtype, run.perturbed):
        return "NumPy"
    return "the kernel with losses of your own in NumPy" if run.definitions else "the kernel"


@cache
def _rule(optimizer: str) -> str:
    return str(build(optimizer, OPTIMIZERS, "optimizer", learning_rate=1.0).rule)
