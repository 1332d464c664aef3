"""Reversed deactivation: a step by hand, what it leaves alone, and the same bits everywhere."""

import math
from functools import partial

import numpy as np
import pytest
from helpers import central_difference, problem, same_bits, take

import mlpspec
from mlpspec.data.datasets import stream
from mlpspec.losses import Inhibition, Overlap
from mlpspec.losses.inhibition import most_monosemantic
from mlpspec.losses.objective import Objective, weighted_sum
from mlpspec.network.forward import Forward, forward
from mlpspec.network.neurons import NEURONS
from mlpspec.study.problem import data_of, start_of
from mlpspec.study.study import Study
from mlpspec.training.optimizers import gradient_descent
from mlpspec.training.perturbation import Perturbation, Perturbed, Seen, deactivated
from mlpspec.training.trainer import train

RATE = 0.05


def step_by_hand(theta, x, y, share):
    """One step of gradient descent of one run, of ridges on a line, in plain Python."""
    n, k = len(x), (len(theta) - 1) // 3
    w, b, v, c = theta[:k], theta[k : 2 * k], theta[2 * k : 3 * k], theta[-1]
    z = [[w[j] * x[i] + b[j] for j in range(k)] for i in range(n)]
    h = [[math.exp(-(z[i][j] ** 2)) for j in range(k)] for i in range(n)]
    mean = [sum(h[i][j] for i in range(n)) / n for j in range(k)]
    variance = [sum((h[i][j] - mean[j]) ** 2 for i in range(n)) / (n - 1) for j in range(k)]
    loud = [j for j in range(k) if max(h[i][j] for i in range(n)) >= 0.01]
    places = [(i, j) for i in range(n) for j in loud]
    places.sort(key=lambda at: -((h[at[0]][at[1]] - mean[at[1]]) ** 2) / variance[at[1]])
    chosen = set(places[: max(1, round(share * n * k))])
    seen = [[mean[j] if (i, j) in chosen else h[i][j] for j in range(k)] for i in range(n)]
    f = [sum(v[j] * seen[i][j] for j in range(k)) + c for i in range(n)]
    of_f = [2 / n * (f[i] - y[i]) for i in range(n)]
    of_z = [
        [
            -2 * z[i][j] * h[i][j] * of_f[i] * v[j] * (-1 if (i, j) in chosen else 1)
            for j in range(k)
        ]
        for i in range(n)
    ]
    of_w = [sum(of_z[i][j] * x[i] for i in range(n)) for j in range(k)]
    of_b = [sum(of_z[i][j] for i in range(n)) for j in range(k)]
    of_v = [sum(of_f[i] * seen[i][j] for i in range(n)) for j in range(k)]
    gradient = [*of_w, *of_b, *of_v, sum(of_f)]
    return [p - RATE * g for p, g in zip(theta, gradient, strict=True)], len(chosen)


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.2, 2), (0.5, 4)])
def test_a_step_by_hand(share, count):
    params, x, y = problem(4, 3)
    options = {"optimizer": gradient_descent(RATE), "steps": 1, "engine": "numpy"}
    plain = train(Objective(), params, x, y, **options).params.flatten()
    found = train(
        Objective(), params, x, y, perturbation=Perturbation(deactivation=share), **options
    ).params.flatten()
    for r in range(4):
        expected, n_chosen = step_by_hand(
            params.flatten()[r].tolist(), x[r, :, 0].tolist(), y[r].tolist(), share
        )
        assert n_chosen == count
        np.testing.assert_allclose(found[r], expected, rtol=1e-12)
        assert np.abs(found[r] - plain[r]).max() > 1e-4


STUDY = Study(
    "chosen",
    {"losses": ((),), "n_samples": (3,), "seed": range(6)},
    {"steps": 1, "optimizer": "gradient_descent", "learning_rate": RATE, "deactivation": 0.2},
)


def steps_of(results):
    """The parameters of the study's runs, each one hand-written step from its start."""
    assert results.table["deactivation"].tolist() == [0.2] * len(STUDY.runs)
    for run in STUDY.runs:
        x, y = data_of(run)
        expected, _ = step_by_hand(start_of(run).tolist(), x[:, 0].tolist(), y.tolist(), 0.2)
        found = results.params(run.key).flatten()[0]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        yield found


def test_a_study_takes_the_step_by_hand(tmp_path):
    assert len([*steps_of(mlpspec.run_study(STUDY, tmp_path, n_jobs=1))]) == 6


@pytest.mark.slow  # two workers are also in the default suite, in tests/running/test_runner.py
def test_two_workers_take_the_same_step(tmp_path):
    one, two = (mlpspec.run_study(STUDY, tmp_path / str(n), n_jobs=n) for n in (1, 2))
    assert all(map(same_bits, steps_of(one), steps_of(two)))


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_the_gradient_is_that_of_what_the_fit_sees(neuron, n_inputs):
    """By differences of -h + const(h + mean), the selection and the constant held."""
    params, x, y = problem(2, 4, n_inputs, 5, neuron)
    held = deactivated(forward(params, x, y).hidden, 0.2)
    h = forward(params, x, y).hidden
    chosen = held.slope < 0
    assert (chosen == most_monosemantic(h, 0.2)).all()
    constant = np.where(chosen, h + h.mean(axis=1, keepdims=True), 0.0)
    terms = {"overlap": (0.1, Overlap()), "inhibition": (0.1, Inhibition(0.2))}

    def value(flat):
        net = Forward(params.unflatten(flat, n_inputs), x, y)
        fit = Seen(held.slope * net.hidden + constant, held.slope)
        return weighted_sum(net, {**terms, "fit": (2.0, fit)})

    grad = weighted_sum(forward(params, x, y), {**terms, "fit": (2.0, held)}).grad.flatten()
    numeric = central_difference(lambda flat: value(flat).total, params.flatten())
    np.testing.assert_allclose(grad, numeric, rtol=1e-6, atol=1e-8 * np.abs(numeric).max())


def test_losses_and_what_is_recorded_see_the_network_as_it_is():
    params, x, y = problem(2, 5)
    full = Objective({"overlap": (0.1, Overlap())})
    plan = {"perturbation": Perturbation(deactivation=0.1), "record_every": 5, "steps": 20}
    trained = train(full, params, x, y, **plan)
    total, grad, values = full.value_and_grad(trained.params, x, y)
    norms = np.linalg.norm(grad.flatten(), axis=1)
    np.testing.assert_allclose(trained.gradient_norm, norms, rtol=1e-9)
    for r, curve in enumerate(trained.curves):
        assert curve.values["objective"][-1] == pytest.approx(total[r], rel=1e-12)
        assert curve.values["fit"][-1] == pytest.approx(values["fit"][r], rel=1e-12)


def test_dropout_is_the_same_mechanism_with_the_bits_that_it_had():
    """Alone as it was written out before, and beside deactivation on top of what that leaves."""
    params, x, y = problem(2, 6)
    streams = [partial(stream, seed=r, n_samples=6, n_inputs=1) for r in range(2)]
    net, alone = Perturbed(Perturbation(dropout=0.4), streams, x, y)(params)
    _, both = Perturbed(Perturbation(dropout=0.4, deactivation=0.1), streams, x, y)(params)
    drawn = np.array([make("dropout").random((6, 6)) for make in streams])
    kept = (drawn >= 0.4).astype(float) / (1 - 0.4)
    assert same_bits(alone.slope, kept)
    assert same_bits(alone.hidden, kept * net.hidden)
    under = deactivated(net.hidden, 0.1)
    assert same_bits(both.slope, kept * under.slope)
    assert same_bits(both.hidden, kept * under.hidden)
    found = weighted_sum(net, {"fit": (1.0, alone)})
    v = params.output_weight
    f = np.matmul(kept * net.hidden, v[:, :, None])[:, :, 0] + params.output_bias[:, None]
    of_f = (2.0 / 6) * (f - y)
    assert same_bits(found.values["fit"], np.square(f - y).mean(axis=1))
    assert same_bits(found.grad.output_weight, np.matmul(of_f[:, None, :], kept * net.hidden)[:, 0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_no_neighbour_changes_a_bit_and_nothing_is_drawn(dtype):
    params, x, y = problem(4, 5)
    params = type(params)(*(value.astype(dtype) for value in vars(params).values()))
    plan = {"perturbation": Perturbation(deactivation=0.1), "steps": 30}
    together = train(Objective(), params, x, y, **plan).params.flatten()
    assert together.dtype == dtype
    for r in range(4):
        row = slice(r, r + 1)
        alone = train(Objective(), take(params, row), x[row], y[row], **plan).params.flatten()
        assert same_bits(alone, together[row])


def test_bad_values_get_one_line():
    for value in (-0.1, 1.0, math.nan):
        with pytest.raises(mlpspec.InputError, match="must be at least 0 and below 1") as caught:
            Perturbation(deactivation=value)
        assert "\n" not in str(caught.value)
    with pytest.raises(mlpspec.InputError, match=r"deactivation is 1\.0; it must be below 1"):
        mlpspec.Run(deactivation=1.0)
    with pytest.raises(mlpspec.InputError, match="leave dropout, deactivation, jitter"):
        mlpspec.Run(deactivation=0.1, optimizer="lbfgs")
