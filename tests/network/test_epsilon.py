"""The epsilon of the prototype of ridge neurons, p = -b w / (|w|^2 + epsilon), as a choice."""

import copy
import pickle

import numpy as np
import pytest
from helpers import central_difference, objective, problem, same_bits

import mlpspec
from mlpspec.cli import run as cli
from mlpspec.losses import Coverage
from mlpspec.metrics.measure import OF_PLACES
from mlpspec.network.forward import forward
from mlpspec.network.neurons import NEURONS, RidgeParams, canonical_neuron, neuron_of, ridge
from mlpspec.running import worker
from mlpspec.study.problem import start_of
from mlpspec.study.run import Run
from mlpspec.study.study import Study
from mlpspec.training.optimizers import gradient_descent
from mlpspec.training.trainer import train

ENGINES = ("numpy", "compiled")
EPSILONS = (0.0, 1e-8, 1e-4, 1e-2)
ALL = ("coverage", "separation", "overlap")


def of_kind(epsilon, n_inputs, slope=0.05):
    """Networks of gentle neurons, whose prototypes the largest epsilons move."""
    params, x, y = problem(3, 5, n_inputs)
    flat = params.flatten()
    flat[:, : 5 * (n_inputs + 1)] *= slope
    return ridge(epsilon).unflatten(flat, n_inputs), x, y


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_by_hand(epsilon):
    one = np.ones(1)
    params = ridge(epsilon)(np.array([[[0.3, 0.4]]]), -one[None], one[None], one)
    np.testing.assert_allclose(params.prototypes[0, 0], np.array([0.3, 0.4]) / (0.25 + epsilon))


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_gradients_against_finite_differences(epsilon, n_inputs):
    params, x, y = of_kind(epsilon, n_inputs)
    full = objective(ALL, temperature=0.3)
    grad = full.value_and_grad(params, x, y)[1]
    assert type(grad) is type(params)

    def function(flat):
        return full.value_and_grad(params.unflatten(flat, n_inputs), x, y)[0]

    numeric = central_difference(function, params.flatten(), step=1e-4)
    error = np.linalg.norm(grad.flatten() - numeric, axis=1)
    assert (error < 1e-8 * np.linalg.norm(numeric, axis=1)).all()


def test_the_default_is_the_type_without_a_number():
    assert ridge() is ridge(1e-8) is RidgeParams is neuron_of("ridge") is NEURONS["ridge"]
    assert neuron_of(canonical_neuron("ridge(epsilon=1e-8)")) is RidgeParams
    assert neuron_of("ridge(1e-4)") is neuron_of("ridge(epsilon=0.0001)") is ridge(1e-4)
    assert neuron_of("radial") is NEURONS["radial"]


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_copies_keep_their_epsilon(epsilon):
    params, _, _ = of_kind(epsilon, 2)
    pickled = pickle.loads(pickle.dumps(params))
    moved = params.moved(1.0).moved(-1.0)
    for other in (copy.copy(params), copy.deepcopy(params), pickled, moved):
        assert type(other) is ridge(epsilon)
        np.testing.assert_allclose(other.prototypes, params.prototypes, rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_training_heeds_it(engine):
    ends = []
    for epsilon in EPSILONS:
        params, x, y = of_kind(epsilon, 1)
        trained = train(objective(ALL), params, x, y, steps=20, engine=engine, record_every=10)
        assert type(trained.params) is type(trained.curves[0].params) is ridge(epsilon)
        assert not trained.diverged.any()
        ends.append(trained.params.flatten().tobytes())
        fit = train(objective(()), params, x, y, steps=20, engine=engine)
        ends.append(fit.params.flatten().tobytes())  # reads no prototype
    assert len({*ends[::2]}) == len(EPSILONS)
    assert len({*ends[1::2]}) == 1


def vanished(epsilon, n_inputs=1):
    params, x, y = of_kind(epsilon, n_inputs, slope=1.0)
    params.hidden_weight[1, 2] = 0.0
    return params, x, y


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_a_vanished_neuron_has_no_prototype_without_epsilon(engine, n_inputs):
    params, x, y = vanished(0.0, n_inputs)
    trained = train(objective(("coverage",)), params, x, y, steps=8, engine=engine, record_every=4)
    assert trained.diverged.tolist() == [False, True, False]
    assert trained.steps.tolist() == [8, 0, 8]
    assert same_bits(trained.params.flatten()[1], params.flatten()[1])
    assert len(trained.curves[1].steps) == 0
    measured = mlpspec.measure(params, x, y, width=2.0, losses={"coverage": Coverage()})
    for name in (*(measurement.name for measurement in OF_PLACES), "coverage_loss"):
        assert np.isnan(measured[name]).tolist() == [False, True, False], name
    assert np.isfinite(measured["fit_mse"]).all()
    # The fit does not read prototypes, and with an epsilon they are at the origin.
    assert not train(objective(()), params, x, y, steps=8, engine=engine).diverged.any()
    params, x, y = vanished(1e-8, n_inputs)
    assert (params.prototypes[1, 2] == 0.0).all()
    assert not train(objective(ALL), params, x, y, steps=8, engine=engine).diverged.any()


def test_a_neuron_that_vanishes_ends_a_run_at_the_last_finite_step():
    x, y = np.array([[[-0.5], [0.25], [1.0]]]), np.array([[0.0, 1.0, 0.5]])
    full, one = objective(("coverage",)), np.ones((1, 1))
    for w in np.linspace(0.5, 2.0, 50):
        params = ridge(0.0)(np.full((1, 1, 1), w), 0.3 * one, one, one[0])
        slope = full.value_and_grad(params, x, y)[1].hidden_weight.item()
        rate = w / slope
        if rate > 0.0 and w - rate * slope == 0.0:  # one step leads to w = 0
            break
    rule = gradient_descent(rate)
    trained = train(full, params, x, y, steps=5, engine="numpy", optimizer=rule, record_every=1)
    assert trained.diverged.all()
    assert trained.steps.tolist() == [0]
    assert trained.curves[0].steps.tolist() == [0]
    assert same_bits(trained.params.flatten(), params.flatten())
    assert np.isfinite(trained.gradient_norm).all()
    fit = train(objective(()), params, x, y, steps=5, engine="numpy", optimizer=rule)
    assert not fit.diverged.any()


def test_a_run_that_starts_without_a_prototype_is_stored_as_diverged(monkeypatch):
    def start(run, x):
        flat = start_of(run, x)
        flat[2] = 0.0
        return flat

    monkeypatch.setattr(worker, "start_of", start)
    settings = {"n_samples": 5, "n_inputs": 1, "losses": "coverage", "steps": 5}
    runs = [Run(neuron=f"ridge(epsilon={eps})", **settings) for eps in (0, 0.01)]
    (lost,), (good,) = (worker.train_batch((run,), engine="numpy") for run in runs)
    assert (lost.status, good.status) == ("diverged", "ok")
    assert lost.measurements["steps_taken"] == 0
    assert np.isnan(lost.measurements["reconstruction_error"])
    assert np.isfinite(lost.params).all()


def test_results_of_several_epsilons_keep_apart(tmp_path):
    neurons = ("ridge", "ridge(epsilon=0.0)", "ridge(1e-2)", "radial")
    study = Study("s", {"neuron": neurons, "seed": (0, 1)}, {"n_samples": 4, "steps": 3})
    results = mlpspec.run_study(study, tmp_path, n_jobs=1, engine="numpy")
    found = {run.neuron: results.params(key) for key, run in results.runs.items()}
    assert [found[n].EPSILON for n in ("ridge", "ridge(epsilon=0.0)", "ridge(epsilon=0.01)")] == [
        1e-8, 0.0, 1e-2,
    ]  # fmt: skip
    for stack in results.stacks():
        (neuron,) = {results.runs[key].neuron for key in stack.keys.tolist()}
        assert type(stack.params) is type(found[neuron])
    (file,) = results.export("npz")
    with np.load(file) as arrays:
        names = {name.partition("/")[0] for name in arrays}
    shape = "n4_k4_d1"
    assert names == {
        shape, f"{shape}_radial", f"{shape}_epsilon0.0", f"{shape}_epsilon0.01"
    }  # fmt: skip


def test_starts_are_the_same_whatever_the_epsilon():
    one, other = (Run(neuron=name, n_inputs=2) for name in ("ridge", "ridge(epsilon=0.01)"))
    assert same_bits(start_of(one), start_of(other))
    assert one.key != other.key


def test_losses_of_ones_own_are_checked_with_the_kind(monkeypatch):
    asked = []

    def run(command, **options):
        asked.append(command[-1])
        return cli.subprocess.CompletedProcess(command, 0, "fine", "")

    monkeypatch.setattr(cli.subprocess, "run", run)
    cli._warn_of_faults(["a.py:A"], Study("s", {}, {"neuron": "ridge(epsilon=0.01)"}))
    assert asked == ["ridge"]


def test_forward_keeps_the_kind():
    params, x, y = of_kind(1e-2, 2)
    net = forward(params, x, y)
    assert net.params.EPSILON == 1e-2
    np.testing.assert_array_equal(net.prototypes, params.prototypes)
