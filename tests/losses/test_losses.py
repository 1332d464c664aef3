import numpy as np
import pytest
from helpers import assert_each_run_as_if_alone, central_difference, problem
from scipy.optimize import brentq

from mlpspec.losses import BUILT_IN, Coverage, Overlap, Separation, built_in
from mlpspec.losses.objective import Objective
from mlpspec.network.forward import Forward, backward, forward
from mlpspec.network.neurons import NEURONS, RidgeParams
from mlpspec.training.optimizers import adam
from mlpspec.training.trainer import train

LOSSES = list(built_in(0.05).items())  # all others are in test_more_losses
PAIRS = [("separation", Separation(0.05, "neuron")), ("separation", Separation(0.05, "sum"))]
PAIRS += [("overlap", Overlap("neuron")), ("overlap", Overlap("sum"))]


def coverage_by_loops(x, p, tau):
    total = 0.0
    for point in x:
        total += np.log(np.mean([np.exp(-((point - q) ** 2).sum() / tau) for q in p]))
    return -tau * total / len(x)


def separation_by_loops(p, tau):
    pairs = [(k, m) for k in range(len(p)) for m in range(k)]
    return np.mean([np.exp(-((p[k] - p[m]) ** 2).sum() / tau) for k, m in pairs])


def overlap_by_loops(h):
    n_hidden = h.shape[1]
    pairs = [(k, m) for k in range(n_hidden) for m in range(k)]
    return np.mean([[row[k] * row[m] for k, m in pairs] for row in h])


@pytest.mark.parametrize("n_inputs", [1, 2, 3])
@pytest.mark.parametrize("n_hidden", [2, 3, 6, 7])
def test_values_against_loops(n_inputs, n_hidden):
    passed = forward(*problem(n_inputs=n_inputs, n_hidden=n_hidden))
    for r in range(3):
        x, p, h = passed.x[r], passed.prototypes[r], passed.hidden[r]
        expected = {
            "coverage": coverage_by_loops(x, p, 0.05),
            "separation": separation_by_loops(p, 0.05),
            "overlap": overlap_by_loops(h),
        }
        for name, loss in LOSSES:
            value = loss.value_and_grad(passed)[0][r]
            assert value == pytest.approx(expected[name], rel=1e-12, abs=1e-15), name


@pytest.mark.parametrize("n_hidden", [2, 3, 6])
@pytest.mark.parametrize("kind", [Separation, Overlap])
def test_reductions_of_pairs_against_loops(kind, n_hidden):
    """Of each neuron's sum over the others, the mean; and the sum over pairs."""
    passed = forward(*problem(2, n_hidden=n_hidden))
    for r in range(2):
        p, h = passed.prototypes[r], passed.hidden[r]

        def closeness(k, m, p=p, h=h):
            if kind is Separation:
                return np.exp(-((p[k] - p[m]) ** 2).sum() / 0.05)
            return np.mean([row[k] * row[m] for row in h])

        of = [sum(closeness(k, m) for m in range(n_hidden) if m != k) for k in range(n_hidden)]
        expected = {"mean": np.mean(of) / (n_hidden - 1), "neuron": np.mean(of), "sum": sum(of) / 2}
        for reduction, value in expected.items():
            arguments = (0.05, reduction) if kind is Separation else (reduction,)
            found = kind(*arguments).value_and_grad(passed)[0][r]
            assert found == pytest.approx(value, rel=1e-12)


def test_hand_computed():
    # Inputs 0 and 1, prototypes 0 and 1 (slope 1): distances 0 and 1, z 0 and 1.
    params = RidgeParams(
        np.array([[[1.0], [1.0]]]), np.array([[0.0, -1.0]]), np.ones((1, 2)), np.zeros(1)
    )
    passed = forward(params, np.array([[[0.0], [1.0]]]), np.zeros((1, 2)))
    e = np.exp(-1.0)
    expected = {"coverage": -np.log((1 + e) / 2), "separation": e, "overlap": e}
    for name, loss in built_in(1.0).items():
        value = loss.value_and_grad(passed)[0][0]
        assert value == pytest.approx(expected[name], rel=1e-7), name


@pytest.mark.parametrize(("name", "loss"), LOSSES + PAIRS)
@pytest.mark.parametrize("n_inputs", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 2), (5, 5), (4, 6), (5, 3), (3, 1)])
@pytest.mark.parametrize("neuron", NEURONS)
def test_gradient_against_finite_differences(name, loss, n_inputs, shape, neuron):
    n_samples, n_hidden = shape
    params, x, y = problem(2, n_samples, n_inputs, n_hidden, neuron)
    passed = forward(params, x, y)
    exact = backward(passed, loss.value_and_grad(passed)[1]).flatten()

    def function(flat):
        return loss.value_and_grad(Forward(params.unflatten(flat, n_inputs), x, y))[0]

    numeric = central_difference(function, params.flatten())
    scale = np.abs(exact).max()
    np.testing.assert_allclose(exact, numeric, rtol=1e-7, atol=1e-9 * scale + 1e-13)


@pytest.mark.parametrize(("name", "loss"), LOSSES)
def test_each_run_as_if_alone(name, loss):
    for n_samples in (2, 3, 8, 50):
        assert_each_run_as_if_alone(loss, forward(*problem(5, n_samples)))


@pytest.mark.parametrize(("name", "loss"), LOSSES)
def test_permuting_neurons_permutes_the_gradient(name, loss):
    passed = forward(*problem(1, 7))
    order = np.random.default_rng(3).permutation(7)
    params = passed.params
    permuted = RidgeParams(
        params.hidden_weight[:, order],
        params.hidden_bias[:, order],
        params.output_weight[:, order],
        params.output_bias,
    )
    value, partials = loss.value_and_grad(passed)
    other, other_partials = loss.value_and_grad(forward(permuted, passed.x, passed.y))
    np.testing.assert_allclose(value, other, rtol=1e-13)
    for key, partial in partials.items():
        expected = partial[:, order] if key == "prototypes" else partial
        np.testing.assert_allclose(other_partials[key], expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("name", "loss"), LOSSES)
def test_extreme_places_stay_finite(name, loss):
    params, x, y = problem(2, 4)
    away = RidgeParams(
        params.hidden_weight, params.hidden_bias + 1e9, params.output_weight, params.output_bias
    )
    together = RidgeParams(
        np.ones_like(params.hidden_weight), np.zeros((2, 4)), params.output_weight, np.zeros(2)
    )
    for place in (away, together):
        value, partials = loss.value_and_grad(forward(place, x, y))
        assert np.isfinite(value).all()
        assert all(np.isfinite(partial).all() for partial in partials.values())


def test_one_neuron_has_nobody_to_avoid():
    passed = forward(*problem(2, 3, n_hidden=1))
    for loss in (Separation(0.1), Overlap()):
        value, partials = loss.value_and_grad(passed)
        assert (value == 0).all()
        assert all((partial == 0).all() for partial in partials.values())


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_bad_temperature(temperature):
    for loss in (Coverage, Separation):
        with pytest.raises(ValueError, match="it must be finite and above 0"):
            loss(temperature=temperature)


def test_names_are_those_of_the_study():
    assert tuple(built_in(1.0)) == BUILT_IN


def settle(prototypes, x, temperatures):
    """Train coverage alone to rest, in one batch; return the prototypes (R, K)."""
    p = np.asarray(prototypes)[:, :, None]
    w = np.full_like(p, 3.0)
    params = RidgeParams(w, -(w * p)[:, :, 0], np.zeros(p.shape[:2]), np.zeros(len(p)))
    alone = [Objective({"coverage": (1.0, Coverage(tau))}, fit_weight=0.0) for tau in temperatures]
    for rate, steps in ((1e-2, 3000), (1e-3, 2000), (1e-4, 1000), (1e-5, 1000)):
        trained = train(alone, params, x, np.zeros(x.shape[:2]), steps=steps, optimizer=adam(rate))
        params = trained.params
    assert (trained.gradient_norm < 1e-6).all()
    return params.prototypes[:, :, 0]


def test_coverage_of_two_inputs_rests_where_theory_says():
    cases = [(1.0, 0.5), (1.0, 1.5), (0.7, 0.3)]
    x = np.array([[[-a], [a]] for a, _ in cases])
    found = settle([[-0.3, 0.5]] * 3, x, [tau for _, tau in cases])
    for (a, tau), p in zip(cases, found, strict=True):
        q = brentq(lambda q, a=a, tau=tau: q - a * np.tanh(2 * a * q / tau), 1e-3, 2.0)
        np.testing.assert_allclose(p, [-q, q], atol=1e-6)


def test_coverage_collapses_above_twice_the_variance():
    # 2 lambda_max(Cov x) = 2 for x = -1, 1: below it the prototypes part, above they meet.
    x = np.array([[[-1.0], [1.0]]] * 2)
    below, above = settle([[-0.3, 0.5]] * 2, x, [1.8, 2.2])
    assert below[1] - below[0] > 0.5
    np.testing.assert_allclose(above, 0.0, atol=1e-5)


@pytest.mark.parametrize("n_samples", [10, 20])
def test_coverage_rests_at_the_fixed_point_of_em(n_samples):
    rng = np.random.default_rng(n_samples)
    x, start = rng.uniform(-1, 1, (2, n_samples))
    temperatures = [0.5 * (2 / n_samples) ** 2, (2 / n_samples) ** 2]
    found = settle([start] * 2, np.array([x, x])[:, :, None], temperatures)
    for tau, p in zip(temperatures, found, strict=True):
        means = start
        for _ in range(5000):  # EM of the equal-weight mixture with variance tau / 2
            cost = -((x[:, None] - means) ** 2) / tau
            share = np.exp(cost - cost.max(axis=1, keepdims=True))
            share /= share.sum(axis=1, keepdims=True)
            means = share.T @ x / share.sum(axis=0)
        np.testing.assert_allclose(p, means, atol=1e-6)
