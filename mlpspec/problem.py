"""The training problem that a run describes: its data, its start and its objective."""

from __future__ import annotations

from mlpspec.datasets import DATASETS, TARGETS, mean_spacing, stream
from mlpspec.initializers import INITIALIZERS
from mlpspec.losses import built_in
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


def objective_of(run: Run, start: Forward) -> Objective:
    """Return the objective of a run; ``start`` (R = 1) is where forces are matched.

    Raises
    ------
    ValueError
        With ``weight_unit="force"``, a loss without any gradient at the start.
    """
    losses = built_in(temperature_of(run))
    terms = {name: (run.weight, losses[name]) for name in run.losses}
    objective = Objective(terms, run.fit_weight)
    return objective.match_forces(start) if run.weight_unit == "force" else objective
