"""The training problem that a run describes: its data, its start and its objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from mlpspec.datasets import DATASETS, TARGETS, mean_spacing, stream
from mlpspec.initializers import INITIALIZERS
from mlpspec.losses import StructuralLoss, built_in
from mlpspec.model import Array, Forward
from mlpspec.objective import Objective
from mlpspec.study import Run


def data_and_start(run: Run) -> tuple[Array, Array, Array]:
    """Return inputs (N, D), targets (N,) and flat start (P,) of a run, from its streams."""
    domain = DATASETS[run.dataset]
    where = (run.seed, run.n_samples, run.n_inputs)
    x = domain.sample(stream("data", *where), run.n_samples, run.n_inputs)
    y = TARGETS[run.target](x)
    start = INITIALIZERS[run.initializer]
    params = start(stream(run.start, *where), run.hidden_units, run.n_inputs, domain, run.neuron)
    return x.astype(run.dtype), y.astype(run.dtype), params.flatten()[0].astype(run.dtype)


def temperature_of(run: Run) -> float:
    """Return tau in squared units of the inputs."""
    if run.temperature_unit == "absolute":
        return run.temperature
    width = DATASETS[run.dataset].width
    return run.temperature * mean_spacing(width, run.n_samples, run.n_inputs) ** 2


def losses_of(
    run: Run, extensions: Mapping[str, StructuralLoss] | None = None
) -> dict[str, StructuralLoss]:
    """Return all losses by name, built in and of one's own, at the temperatures of a run.

    The setting ``temperature`` is for the built-in ones; a field of that name of another loss is
    its own affair, but for the unit, in which it is too.
    """
    losses = built_in(temperature_of(run))
    for name, loss in (extensions or {}).items():
        if run.temperature_unit == "spacing" and hasattr(loss, "temperature"):
            unit = temperature_of(replace(run, temperature=1.0))
            loss = replace(cast(Any, loss), temperature=loss.temperature * unit)
        losses[name] = loss
    return losses


def objective_of(run: Run, losses: Mapping[str, StructuralLoss], start: Forward) -> Objective:
    """Return the objective of a run; ``start`` (R = 1) is where forces are matched.

    Raises
    ------
    ValueError
        With ``weight_unit="force"``, a loss without any gradient at the start.
    """
    terms = {name: (run.weight, losses[name]) for name in run.losses}
    objective = Objective(terms, run.fit_weight)
    return objective.match_forces(start) if run.weight_unit == "force" else objective
