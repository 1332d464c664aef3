"""Both engines compute the same: value, gradient, steps, divergence and curves."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from helpers import SUBSETS, central_difference, problem, same_bits, take

from mlpspec.losses import (
    Coverage,
    HardCoverage,
    Inhibition,
    LogRepulsion,
    Overlap,
    Separation,
    StructuralLoss,
)
from mlpspec.losses.objective import Objective
from mlpspec.network.forward import forward
from mlpspec.network.neurons import NEURONS
from mlpspec.training.compiled import KernelRuns, RidingForward
from mlpspec.training.optimizers import OPTIMIZERS, RULES, adam, gradient_descent
from mlpspec.training.trainer import train

SHAPES = [(1, 1), (3, 3), (4, 7), (9, 2), (33, 20), (40, 70), (70, 40)]
"""(N, K), also beyond where far pairs are left out on a line."""


FORMS = [("soft", "mean", "mean"), ("hard", "neuron", "sum"), ("hard", "sum", "neuron")]
"""Of coverage, of separation and of overlap."""


def objective(subset, tau=0.01, fit_weight=1.0, form=FORMS[0]):
    minimum, of_separation, of_overlap = form
    losses = {
        "coverage": Coverage(tau) if minimum == "soft" else HardCoverage(),
        "separation": Separation(2 * tau, of_separation),
        "overlap": Overlap(of_overlap),
    }
    return Objective(
        {name: (0.1 * (i + 1), losses[name]) for i, name in enumerate(subset)}, fit_weight
    )


def kernel_at(objective, params, x, y):
    runs = KernelRuns(type(params), params.flatten(), x, y, [objective] * len(x))
    runs.evaluate()
    return runs, RidingForward(params, x, y, runs)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("n_inputs", [1, 2, 3])
@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_value_and_gradient(subset, neuron, n_inputs, form):
    # The fit and the losses are summed: what one weighs need not meet every temperature.
    for (n, k), (tau, fit) in itertools.product(SHAPES, ((1e-4, 2.0), (0.01, 0.0), (1.0, 2.0))):
        params, x, y = problem(2, n, n_inputs, k, neuron)
        full = objective(subset, tau, fit, form)
        total, grad, values = full.value_and_grad(params, x, y)
        runs, found = kernel_at(full, params, x, y)
        size = np.abs(grad.flatten()).max(axis=1, keepdims=True)
        assert (np.abs(runs.grad - grad.flatten()) <= 2e-13 * size + 1e-100).all()
        np.testing.assert_allclose(runs.total, total, rtol=1e-12, atol=1e-15)
        net = forward(params, x, y)
        np.testing.assert_allclose(found.output, net.output, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(found.prototypes, net.prototypes, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(found.preactivation, net.preactivation, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(found.hidden, net.hidden, rtol=1e-11, atol=1e-140)
        for name, value in values.items():
            found = [runs.values(run)[name] for run in range(2)]
            np.testing.assert_allclose(found, value, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("subset", SUBSETS[1:], ids="+".join)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(("n_inputs", "n"), [(1, 6), (1, 40), (2, 6)])
@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_gradient_of_the_kernel_against_finite_differences(subset, neuron, n_inputs, n, form):
    params, x, y = problem(1, n, n_inputs, 5, neuron)
    full = objective(subset, form=form)

    def value(flat):
        return np.array(
            [
                kernel_at(full, params.unflatten(one[None], n_inputs), x, y)[0].total[0]
                for one in flat
            ]
        )

    step = 1e-3 if form == FORMS[0] else 1e-5  # within which no input's nearest prototype changes
    numeric = central_difference(value, params.flatten(), step)
    grad = kernel_at(full, params, x, y)[0].grad
    np.testing.assert_allclose(grad, numeric, rtol=1e-8, atol=1e-9 * np.abs(numeric).max())


def test_coverage_far_from_all_prototypes():
    """Where sums of exponentials vanish, only differences of distances make exact shares."""
    for n_inputs, n in ((1, 5), (1, 50), (2, 5)):
        params, x, y = problem(2, n, n_inputs, 4)
        x = x + 40.0
        full = Objective({"coverage": (1.0, Coverage(1e-3))}, 0.0)
        total, grad, _ = full.value_and_grad(params, x, y)
        runs, _ = kernel_at(full, params, x, y)
        np.testing.assert_allclose(runs.total, total, rtol=1e-13)
        size = np.abs(grad.flatten()).max()
        np.testing.assert_allclose(runs.grad, grad.flatten(), rtol=1e-10, atol=1e-13 * size)


@dataclass(frozen=True)
class Reader(StructuralLoss):
    """Reads everything; its partials cover every path of the chain rule."""

    def value_and_grad(self, forward):
        n = forward.hidden[0].size
        flat = (len(forward.y), -1)
        value = np.square(forward.hidden).reshape(flat).sum(axis=1) / n
        value = value + np.square(forward.preactivation).reshape(flat).sum(axis=1) / n
        value = value + forward.response.mean(axis=1) + forward.output.mean(axis=1)
        value = value + np.square(forward.prototypes).reshape(flat).sum(axis=1)
        ones = np.full_like(forward.y, 1.0 / forward.y.shape[1])
        return value, {
            "hidden": 2.0 * forward.hidden / n,
            "preactivation": 2.0 * forward.preactivation / n,
            "response": ones,
            "output": ones,
            "prototypes": 2.0 * forward.prototypes,
        }


RIDING = {
    "log": {"log": (0.01, LogRepulsion(0.01))},
    "reader": {"reader": (0.01, Reader())},
    "inhibition": {"inhibition": (0.1, Inhibition(0.1)), "overlap": (0.1, Overlap())},
    "second coverage": {"coverage": (0.1, Coverage(0.01)), "wide": (0.1, Coverage(0.3))},
    "all": {**objective(SUBSETS[-1]).terms, "reader": (0.01, Reader())},
}


@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(("n_inputs", "n", "k"), [(1, 5, 5), (1, 40, 9), (2, 6, 4), (3, 4, 6)])
def test_thirty_steps_and_curves(optimizer, neuron, n_inputs, n, k):
    # Every form with every subset has its gradient tested above; here each subset has one.
    objectives = [objective(subset, form=FORMS[i % 3]) for i, subset in enumerate(SUBSETS)]
    # Above a line, what is read of z cannot be differentiated at a radial neuron's center.
    readable = neuron == "ridge" or n_inputs == 1
    objectives += [
        Objective(terms) for terms in RIDING.values() if readable or "reader" not in terms
    ]
    params, x, y = problem(len(objectives), n, n_inputs, k, neuron)
    rule = OPTIMIZERS[optimizer](0.01)
    plain, fast = (
        train(objectives, params, x, y, steps=30, optimizer=rule, record_every=7, engine=engine)
        for engine in ("numpy", "compiled")
    )
    assert not plain.diverged.any()
    tight = {"rtol": 1e-7, "atol": 1e-9}
    np.testing.assert_allclose(fast.params.flatten(), plain.params.flatten(), **tight)
    np.testing.assert_allclose(fast.gradient_norm, plain.gradient_norm, **tight)
    for one, other in zip(fast.curves, plain.curves, strict=True):
        assert one.steps.tolist() == other.steps.tolist() == [0, 7, 14, 21, 28, 30]
        np.testing.assert_allclose(one.params.flatten(), other.params.flatten(), **tight)
        assert set(one.values) == set(other.values)
        for name, value in one.values.items():
            np.testing.assert_allclose(value, other.values[name], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("subset", [(), SUBSETS[-1], ("log",)], ids="+".join)
def test_divergence_is_seen_alike(subset, engine):
    terms = RIDING["log"] if subset == ("log",) else objective(subset).terms
    params, x, y = problem(4, 5)
    params.output_bias[1] = 1e90
    params.output_weight[2] = 1e200
    rule = gradient_descent(1.5)
    found = train(Objective(terms), params, x, y, steps=12, optimizer=rule, engine=engine)
    plain = train(Objective(terms), params, x, y, steps=12, optimizer=rule, engine="numpy")
    assert found.diverged.tolist() == plain.diverged.tolist()
    assert found.diverged[1]
    assert found.diverged[2]
    assert found.steps.tolist() == plain.steps.tolist()
    assert found.steps[2] == 0
    assert np.isnan(found.gradient_norm[2]) or np.isinf(found.gradient_norm[2])
    np.testing.assert_allclose(found.params.flatten(), plain.params.flatten(), rtol=1e-6)
    alive = ~found.diverged | (found.steps > 0)
    np.testing.assert_allclose(
        found.gradient_norm[alive], plain.gradient_norm[alive], rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("terms", [objective(SUBSETS[-1]).terms, RIDING["all"]], ids=["own", "all"])
@pytest.mark.parametrize("n", [4, 40])
def test_recording_changes_no_bit(engine, terms, n):
    params, x, y = problem(3, n)
    plain, *recorded = (
        train(Objective(terms), params, x, y, steps=24, engine=engine, record_every=every)
        for every in (0, 1, 7)
    )
    for one in recorded:
        assert same_bits(one.params.flatten(), plain.params.flatten())
        assert same_bits(one.gradient_norm, plain.gradient_norm)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(("n", "n_inputs"), [(3, 1), (40, 1), (6, 2), (21, 2)])
def test_a_run_has_the_bits_it_has_alone(engine, neuron, n, n_inputs):
    # Of each subset two runs, which NumPy trains together.
    objectives = 2 * [objective(subset) for subset in SUBSETS] + [
        Objective({**objective(subset).terms, "log": (0.01 * (i + 1), LogRepulsion(0.01))})
        for i, subset in enumerate(SUBSETS)
    ]
    params, x, y = problem(24, n, n_inputs, neuron=neuron)
    together = train(objectives, params, x, y, steps=20, engine=engine)
    for r in range(24):
        row = slice(r, r + 1)
        alone = train(objectives[r], take(params, row), x[row], y[row], steps=20, engine=engine)
        assert same_bits(alone.params.flatten(), together.params.flatten()[row])
        assert same_bits(alone.gradient_norm, together.gradient_norm[row])


def test_single_precision_goes_the_textbook_way():
    params, x, y = problem(2, 5)
    single = type(params)(*(value.astype(np.float32) for value in vars(params).values()))
    one, other = (
        train(objective(SUBSETS[-1]), single, x, y, steps=9, optimizer=adam(0.01), engine=engine)
        for engine in ("numpy", "compiled")
    )
    assert same_bits(one.params.flatten(), other.params.flatten())


def test_both_engines_name_what_they_record_in_one_order():
    params, x, y = problem(2, 5)
    for engine in ("numpy", "compiled"):
        (curve, _) = train(
            objective(SUBSETS[-1]), params, x, y, steps=2, record_every=1, engine=engine
        ).curves
        assert [*curve.values] == ["objective", "fit", *sorted(SUBSETS[-1])]
