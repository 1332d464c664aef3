"""Numbers at the edges: a finite result or `diverged`; no warning, no unexplained NaN."""

import itertools

import numpy as np
import pytest
from helpers import central_difference

import mlpspec
from mlpspec.losses import BUILT_IN, built_in
from mlpspec.losses.objective import Objective
from mlpspec.metrics.measure import OF_RESPONSES, SILENT, measure
from mlpspec.network.neurons import NEURONS
from mlpspec.study.study import Study
from mlpspec.training.trainer import train

SHAPES = [(2, 2), (2, 1), (2, 200), (200, 2)]
SLOPES = [1e-150, 1e-8, 1.0, 1e8, 1e150]
TEMPERATURES = [1e-12, 0.01, 1e12]
WEIGHTS = [0.1, 1e6]


def ridges(n_hidden, n_inputs, slope, seed=0):
    """One network with prototypes in the domain and slopes of about ``slope``."""
    rng = np.random.default_rng(seed)
    w = slope * rng.uniform(0.5, 1.5, (1, n_hidden, n_inputs))
    b = -(w * rng.uniform(-1, 1, (1, n_hidden, n_inputs))).sum(axis=2)
    flat = np.concatenate([w.ravel(), b.ravel(), rng.normal(size=n_hidden), [0.0]])
    return NEURONS["ridge"].unflatten(flat[None], n_inputs)


def data(n_samples, n_inputs, equal):
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (1, n_samples, n_inputs))
    x = np.full_like(x, 0.3) if equal else x
    return x, np.sin(np.pi * x[..., 0])


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_training_and_measuring_end_in_finite_numbers(shape, equal):
    for slope, temperature, weight in itertools.product(SLOPES, TEMPERATURES, WEIGHTS):
        losses = built_in(temperature)
        objective = Objective({name: (weight, losses[name]) for name in BUILT_IN})
        for n_inputs in (1, 2):
            x, y = data(shape[0], n_inputs, equal)
            trained = train(objective, ridges(shape[1], n_inputs, slope), x, y, steps=3)
            assert np.isfinite(trained.params.flatten()).all()
            measured = measure(trained.params, x, y, width=2.0, losses=losses)
            odd = {name for name, value in measured.items() if not np.isfinite(value).all()}
            # Neurons that do not respond have no score, and two inputs tell nothing.
            scored = {measurement.name for measurement in OF_RESPONSES}
            hidden = mlpspec.forward(trained.params, x, y).hidden
            tell = np.ptp(hidden, axis=1) > 16 * np.finfo(float).eps * hidden.max(axis=1)
            if (tell & (hidden.max(axis=1) >= SILENT)).any() and shape[0] > 2:
                assert odd & scored <= {"false_killing_rate"}, (slope, temperature)
            else:
                assert odd & scored >= scored - {"monosemantic_fraction"}, (slope, temperature)
            # Without spread in the inputs there is nothing to compare with.
            expected = {"spread_ratio", "fit_fvu"} if equal else set()
            assert odd - scored == expected, (slope, temperature)


@pytest.mark.parametrize("slope", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("name", ["fit", *BUILT_IN])
def test_gradients_at_the_edges(name, slope, temperature):
    """In variables scaled so that the responses, or for flat neurons the prototypes, move."""
    terms = {} if name == "fit" else {name: (1.0, built_in(temperature)[name])}
    objective = Objective(terms, 1.0 if name == "fit" else 0.0)
    params = ridges(3, 1, slope)
    x, y = data(4, 1, equal=False)
    flat = params.flatten()
    scale = np.ones_like(flat)
    scale[:, : 2 * 3] = min(slope, 1.0)  # of slopes and offsets

    def function(moved):
        at = NEURONS["ridge"].unflatten(moved * scale, 1)
        return objective.value_and_grad(at, x, y)[0]

    value, grad, _ = objective.value_and_grad(params, x, y)
    numeric = central_difference(function, flat / scale, step=1e-3)
    exact = grad.flatten() * scale
    # A value is known to its last bits, which for coverage are those of the temperature.
    size = max(1.0, abs(value[0]), temperature if name == "coverage" else 0.0)
    noise = 1e-16 * size / 1e-3
    np.testing.assert_allclose(exact, numeric, rtol=1e-6, atol=max(1e-9, 10 * noise))


@pytest.mark.parametrize("temperature", [1e-12, 1e12])
def test_coverage_at_its_limits(temperature):
    """For small tau the nearest prototype, for large tau the mean of all: exact gradients."""
    params = ridges(3, 1, 1.0)
    x, y = data(4, 1, equal=False)
    forward = mlpspec.forward(params, x, y)
    value, partial = built_in(temperature)["coverage"].value_and_grad(forward)
    p, difference = forward.prototypes[0], x[0] - forward.prototypes[0].T  # (K, 1), (N, K)
    share = np.full(difference.shape, 1 / 3)
    if temperature < 1:
        share = (difference**2 == (difference**2).min(axis=1, keepdims=True)).astype(float)
    expected = -2 * (share * difference).mean(axis=0)
    np.testing.assert_allclose(partial["prototypes"][0, :, 0], expected, rtol=1e-9, atol=1e-15)
    assert p.shape == (3, 1)
    # Its value is a small difference of numbers of the size of tau.
    mean = (share * difference**2).sum(axis=1).mean()
    np.testing.assert_allclose(value, mean, rtol=1e-9, atol=1e-15 * max(temperature, 1e5))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"n_samples": (2,), "n_hidden": 50},
        {"temperature": 1e-12, "n_samples": (2, 3)},
        {"temperature": 1e12, "n_samples": (2, 3)},
        {"weight": 1e6, "n_samples": (2, 3)},
        {"weight": 1e300, "learning_rate": 1e300, "n_samples": (3,)},
        {"optimizer": "gradient_descent", "learning_rate": 1e6, "n_samples": (3,)},
        {"dtype": "float32", "temperature": 1e-12, "n_samples": (3,)},
        {"dtype": "float32", "temperature": 1e12, "weight": 1e6, "n_samples": (3,)},
    ],
)
def test_studies_at_the_edges(tmp_path, changes):
    sizes = changes.pop("n_samples")
    base = mlpspec.studies.paper().replace(seed=(0, 1), n_samples=sizes, steps=50)
    results = mlpspec.run_study(Study(base.name, base.axes, {**base.settings, **changes}), tmp_path)
    assert set(results.table["status"]) <= {"ok", "diverged"}
    assert np.isfinite(results.stacks()[0].params.flatten()).all()
    ok = results.table["status"] == "ok"
    scored = {measurement.name for measurement in OF_RESPONSES}  # which may be undefined
    for name, values in results.table.items():
        if values.dtype.kind == "f" and name not in ("seconds", *scored):
            assert np.isfinite(values[ok]).all(), name
    summary = results.summary()
    known = summary["count"] > 0
    assert np.isfinite(summary["mean"][known]).all()
    assert np.isfinite(summary["median"][known]).all()
    assert (summary["count"] <= summary["runs"]).all()
