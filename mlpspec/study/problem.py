"""The training problem that a run describes: its data, its start and its objective."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from mlpspec.arrays import Array
from mlpspec.data import datasets
from mlpspec.data.datasets import COLUMN, FILE, Dataset, FileData, Uniform, stream
from mlpspec.data.held import content_of
from mlpspec.data.spec import arguments
from mlpspec.data.tabular import column_names
from mlpspec.errors import InputError
from mlpspec.losses import L1, L2, Coverage, HardCoverage, Overlap, Separation, StructuralLoss
from mlpspec.losses.objective import Objective
from mlpspec.network.forward import Forward
from mlpspec.network.initializers import INITIALIZERS, Draw
from mlpspec.network.neurons import Params, neuron_of
from mlpspec.study.ends import ENDS, network_of
from mlpspec.study.run import Run

Tables = Mapping[FileData, Array]
"""Rows of files that have been read."""


def dataset_of(run: Run) -> Dataset | FileData:
    """Return where the inputs of a run come from, before they are moved by ``shift``.

    Examples
    --------
    >>> dataset_of(Run(dataset="grid(0.5)"))
    Grid(jitter=0.5, low=-1.0, high=1.0)
    """
    if not run.dataset.startswith(FILE):
        return datasets.read_dataset(run.dataset)
    target = run.target.removeprefix(COLUMN) if run.target.startswith(COLUMN) else None
    path, content = datasets.file_parts(run.dataset)
    columns = column_names(run.columns)
    return FileData(path, content, columns, run.scaling, target, run.separator, run.decimal)


def domain_of(run: Run) -> Uniform:
    """Return the box that the inputs of a run come from; of a file, [-1, 1]^D.

    Examples
    --------
    >>> domain_of(Run(shift=3.0))
    Uniform(low=2.0, high=4.0)
    """
    return dataset_of(run).domain.moved(run.shift)


def read_tables(runs: Iterable[Run]) -> dict[FileData, Array]:
    """Return the rows of the files that ``runs`` draw from; check these, and their networks.

    Raises
    ------
    ValueError
        A file that cannot be used, or has fewer rows than a run needs; a network that is not held,
        or does not fit a run.

    Examples
    --------
    >>> read_tables([Run(), Run(dataset="grid")])  # neither is of a file
    {}
    """
    tables: dict[FileData, Array] = {}
    for run in runs:
        _check_networks(run)
        dataset = dataset_of(run)
        if isinstance(dataset, FileData):
            if dataset not in tables:
                tables[dataset] = dataset.read()
            held_out = run.early_stopping.startswith("held_out")
            dataset.check_size(tables[dataset], run.n_samples, held_out)
    return tables


def _check_networks(run: Run) -> None:
    """Raise `InputError` unless the networks that a run starts from and learns are held and fit."""
    for setting in ENDS:
        text = getattr(run, setting)
        params = network_of(setting, text)
        if params is None:
            continue
        _, n_hidden, n_inputs = params.shape
        there: dict[str, tuple[Any, Any]] = {"n_inputs": (n_inputs, run.n_inputs)}
        if setting == "start":
            neuron = str(content_of(text)).rpartition(":")[0]
            there |= {"neuron": (neuron, run.neuron), "n_hidden": (n_hidden, run.hidden_units)}
        for name, (given, wanted) in there.items():
            if given != wanted:
                raise InputError(
                    f"{setting} is {text}, a network with {name}={given}, and {name} of the run is "
                    f"{wanted}; give {name}={given}, or another network"
                )


def stream_of(run: Run, name: str) -> np.random.Generator:
    """Return the stream of a run that is called ``name``.

    Examples
    --------
    >>> one, other = (stream_of(Run(losses=losses), "dropout") for losses in ("", "overlap"))
    >>> one.random() == other.random()
    True
    """
    return stream(name, run.seed, run.n_samples, run.n_inputs)


def data_of(run: Run, tables: Tables | None = None, held_out: bool = False) -> tuple[Array, Array]:
    """Return inputs (N, D) and targets (N,) of a run, from its streams.

    Targets follow from the inputs before they are moved by ``shift``; those that are the outputs of
    a network are its outputs at the inputs as they are. A file that is not among ``tables``
    (`read_tables`) is read.

    Those that are ``held_out`` of training are drawn likewise, as many, from streams of their own;
    of a file they are the rows that are left, at most as many.

    Raises
    ------
    ValueError
        A file that cannot be used, or has no other rows.

    Examples
    --------
    >>> x, y = data_of(Run(n_samples=4, n_inputs=2))
    >>> x.shape, y.shape
    ((4, 2), (4,))
    """
    where = (run.seed, run.n_samples, run.n_inputs)
    dataset, rng = dataset_of(run), stream("data", *where)
    if isinstance(dataset, FileData):
        table = (tables or {}).get(dataset)
        table = dataset.read() if table is None else table
        rows = dataset.draw(rng, table, run.n_samples, held_out)
        x = rows[:, : run.n_inputs]
    else:
        x = dataset.draw(stream("held_out", *where) if held_out else rng, *where[1:])
    teacher = network_of("target", run.target)
    if run.target.startswith(COLUMN):
        y = rows[:, -1]
    elif teacher is not None:
        y = _outputs(teacher, x + run.shift)
    else:
        of_target = stream("held_out_target" if held_out else "target", *where)
        y = datasets.TARGETS[run.target](x, of_target)
    if run.shift:
        x = x + run.shift
    return x.astype(run.dtype), y.astype(run.dtype)


def _outputs(params: Params, x: Array) -> Array:
    """Return the outputs (N,) of one network at x (N, D), in double precision."""
    return np.asarray(Forward(params.double(), x[None], np.zeros((1, len(x)))).output[0])


def start_of(run: Run, x: Array | None = None, rng: np.random.Generator | None = None) -> Array:
    """Return the flat start (P,) of a run, from its stream, or as the network is that it names.

    A network is taken as it is, in the precision of the run. From a stream ``rng``, if one is
    given, another start is drawn as the initializer has it.

    Starts at the inputs need x (N, D), as `data_of` returns it; it is called if x is not given. The
    others need no data. A start that is drawn is moved by ``shift`` as a whole.

    Raises
    ------
    ValueError
        Inputs are needed, and come from a file that cannot be used; or a network is not held.

    Examples
    --------
    >>> start_of(Run(n_samples=4, n_inputs=2)).shape  # w, b, v and c of four neurons
    (17,)
    """
    end = network_of("start", run.start) if rng is None else None
    if end is not None:
        return np.asarray(end.flatten()[0].astype(run.dtype))
    rng = rng or stream_of(run, run.start)
    initializer, numbers = arguments(run.initializer, INITIALIZERS, "initializer")

    def inputs() -> Array:
        return (data_of(run)[0] if x is None else x).astype(float) - run.shift

    kind, domain = neuron_of(run.neuron), dataset_of(run).domain
    draw = Draw(rng, run.hidden_units, run.n_inputs, domain, kind, inputs)
    params = INITIALIZERS[initializer](draw, **numbers)
    if run.shift:
        params = params.moved(run.shift)
    return np.asarray(params.flatten()[0].astype(run.dtype))


def temperature_unit_of(run: Run) -> float:
    """Return the unit in which the temperatures of a run are given, in squared units of the inputs.

    Examples
    --------
    >>> temperature_unit_of(Run(n_samples=4, temperature_unit="spacing"))
    0.25
    """
    if run.temperature_unit == "absolute":
        return 1.0
    return datasets.mean_spacing(domain_of(run).width, run.n_samples, run.n_inputs) ** 2


def losses_of(
    run: Run, extensions: Mapping[str, StructuralLoss] | None = None
) -> dict[str, StructuralLoss]:
    """Return the losses by name, those of the study and custom ones, as the settings have them.

    A field ``temperature`` of a custom loss keeps its value, in the unit of the run.

    Examples
    --------
    >>> losses_of(Run(temperature=0.5, separation_temperature=0.1))["separation"]
    Separation(temperature=0.1, reduction='mean')
    """
    unit = temperature_unit_of(run)
    soft = Coverage(run.temperature * unit)
    losses: dict[str, StructuralLoss] = {
        "coverage": HardCoverage() if run.coverage_minimum == "hard" else soft,
        "separation": Separation(run.tau_of_separation * unit, run.separation_reduction),
        "overlap": Overlap(run.overlap_reduction),
    }
    for name, loss in (extensions or {}).items():
        if run.temperature_unit == "spacing" and hasattr(loss, "temperature"):
            loss = replace(cast(Any, loss), temperature=loss.temperature * unit)
        losses[name] = loss
    return losses


def objective_of(
    run: Run, losses: Mapping[str, StructuralLoss], start: Callable[[], Forward]
) -> Objective:
    """Return the objective of a run.

    ``start`` returns the forward pass at the start (R = 1); it is called if forces are matched.

    Raises
    ------
    ValueError
        With ``weight_unit="force"``, a loss without any gradient at the start.

    Examples
    --------
    >>> from mlpspec import RidgeParams, forward
    >>> run = Run(losses="coverage", n_samples=4)
    >>> x, y = (array[None] for array in data_of(run))
    >>> params = RidgeParams.unflatten(start_of(run)[None], run.n_inputs)
    >>> objective = objective_of(run, losses_of(run), lambda: forward(params, x, y))
    >>> objective.value_and_grad(params, x, y)[0].shape
    (1,)
    """
    terms = {name: (run.weight, losses[name]) for name in run.losses}
    objective = Objective(terms, run.fit_weight)
    if run.weight_unit == "force":
        objective = objective.match_forces(start())
    penalties = {"l1": (run.l1, L1()), "l2": (run.l2, L2())}
    return Objective(
        {**objective.terms, **{n: t for n, t in penalties.items() if t[0]}}, run.fit_weight
    )
