from dataclasses import dataclass

import numpy as np
import pytest
from helpers import SUBSETS, central_difference, objective, problem, same_bits, take

from mlpspec.losses import Coverage, Overlap, Separation, StructuralLoss
from mlpspec.losses.objective import Fit, Objective, weighted_sum
from mlpspec.network.forward import Forward, forward
from mlpspec.network.neurons import NEURONS


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
@pytest.mark.parametrize("n_inputs", [1, 2, 3])
@pytest.mark.parametrize("neuron", NEURONS)
def test_gradient_against_finite_differences(subset, n_inputs, neuron):
    params, x, y = problem(3, 6, n_inputs, neuron=neuron)
    full = objective(subset)
    total, grad, values = full.value_and_grad(params, x, y)

    def function(flat):
        return full.value_and_grad(params.unflatten(flat, n_inputs), x, y)[0]

    numeric = central_difference(function, params.flatten())
    error = np.linalg.norm(grad.flatten() - numeric, axis=1)
    assert (error < 1e-9 * np.linalg.norm(numeric, axis=1)).all()
    parts = values["fit"] + 0.1 * sum(values[name] for name in subset)
    np.testing.assert_allclose(total, parts, rtol=1e-14)
    assert [*values] == ["fit", *sorted(subset)]


def test_fit_is_the_mean_squared_error():
    params, x, y = problem()
    output = forward(params, x, y).output
    total = Objective(fit_weight=2.0).value_and_grad(params, x, y)[0]
    np.testing.assert_allclose(total, 2.0 * ((output - y) ** 2).mean(axis=1), rtol=1e-14)


def test_a_term_of_weight_zero_is_not_computed():
    class Explosive(Coverage.__base__):
        def value_and_grad(self, forward):
            raise AssertionError("computed")

    params, x, y = problem()
    total, _, values = Objective({"explosive": (0.0, Explosive())}).value_and_grad(params, x, y)
    assert same_bits(total, Objective().value_and_grad(params, x, y)[0])
    assert set(values) == {"fit"}


def test_without_the_fit_the_output_weights_rest():
    params, x, y = problem()
    _, grad, values = Objective({"c": (1.0, Coverage())}, 0.0).value_and_grad(params, x, y)
    assert (grad.output_weight == 0).all()
    assert "fit" in values


@dataclass(frozen=True)
class Loud(StructuralLoss):
    """Mean square of the responses and mean output, by several quantities at once."""

    def value_and_grad(self, forward):
        n = forward.hidden[0].size
        value = np.square(forward.hidden).reshape(len(forward.y), -1).sum(axis=1) / n
        return value + forward.output.mean(axis=1), {
            "output": np.full_like(forward.y, 1.0 / forward.y.shape[1]),
            "squared_response": np.full_like(forward.y, 1.0 / n),
            "output_bias": np.zeros_like(forward.params.output_bias),
        }


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("n_inputs", [1, 2])
@pytest.mark.parametrize("n_samples", [2, 3, 10, 33])
def test_bits_and_weights_of_a_run_do_not_depend_on_its_batch(n_samples, n_inputs, neuron, subset):
    params, x, y = problem(7, n_samples, n_inputs, neuron=neuron)
    weights = 0.1 * np.arange(1.0, 8.0)
    losses = {name: term[1] for name, term in objective(subset).terms.items()} | {"loud": Loud()}
    terms = {name: (weights, losses[name]) for name in sorted(losses)}
    whole = weighted_sum(Forward(params, x, y), {**terms, "fit": (weights, Fit())})
    for r in range(7):
        row = slice(r, r + 1)
        weight = float(weights[r])
        one = Objective({name: (weight, loss) for name, loss in losses.items()}, weight)
        total, grad, values = one.value_and_grad(take(params, row), x[row], y[row])
        assert same_bits(grad.flatten(), whole.grad.flatten()[row])
        np.testing.assert_allclose(total, whole.total[row], rtol=1e-15)
        for name, value in values.items():
            assert same_bits(value, whole.values[name][row])


@pytest.mark.parametrize(("n_samples", "n_hidden"), [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("n_inputs", [1, 2, 3, 6])
@pytest.mark.parametrize("neuron", NEURONS)
def test_bits_of_the_smallest_runs_do_not_depend_on_the_batch(
    n_samples, n_hidden, n_inputs, neuron
):
    rng = np.random.default_rng(0)
    kind = NEURONS[neuron]
    params = kind.unflatten(rng.normal(size=(7, n_hidden * (n_inputs + 2) + 1)), n_inputs)
    x, y = rng.uniform(-1.0, 1.0, (7, n_samples, n_inputs)), rng.normal(size=(7, n_samples))
    full = objective(("coverage", "separation", "overlap"))
    together = full.value_and_grad(params, x, y)[1].flatten()
    for r in range(7):
        rows = slice(r, r + 1)
        alone = full.value_and_grad(take(params, rows), x[rows], y[rows])[1].flatten()
        assert same_bits(alone, together[rows])


@dataclass(frozen=True)
class Foreign(StructuralLoss):
    """Sums of what it reads, with partial derivatives that lie in memory as they like."""

    quantity: str
    kind: str

    def value_and_grad(self, forward):
        read = getattr(forward, self.quantity)
        partial = np.full(read.shape, 0.25)
        if self.kind == "misaligned":
            odd = np.zeros(partial.nbytes + 1, np.uint8)[1:].view(float).reshape(read.shape)
            odd[:] = partial
            partial = odd
        else:
            partial = partial.astype(self.kind)
        partial.flags.writeable = False
        return 0.25 * read.reshape(len(read), -1).sum(axis=1), {self.quantity: partial}


@pytest.mark.parametrize("kind", [">f8", "f4", "misaligned"])
@pytest.mark.parametrize(
    "quantity", ["output", "response", "squared_response", "hidden", "preactivation", "prototypes"]
)
def test_partials_of_another_precision_or_layout_are_understood(quantity, kind):
    params, x, y = problem(3, 5)
    plain, foreign = Foreign(quantity, "f8"), Foreign(quantity, kind)
    around = objective(("coverage", "overlap")).terms
    expected, found = (
        Objective({**around, "own": (1.0, own)}, 0.0).value_and_grad(params, x, y)[1].flatten()
        for own in (plain, foreign)
    )
    assert same_bits(found, expected)


def test_a_total_that_overflows_in_single_precision_is_seen():
    params, x, y = problem(2, 4)
    params = type(params)(*(value.astype(np.float32) for value in vars(params).values()))
    for weight, finite in ((1e3, True), (1e39, False)):
        heavy = Objective({"own": (weight, Foreign("output", "f4"))})
        with np.errstate(all="ignore"):
            total, _, _ = heavy.value_and_grad(params, x, y)
        assert total.dtype == np.float32
        assert np.isfinite(total).all() == finite


def test_matched_forces_are_the_shares_asked_for():
    params, x, y = problem(1, 10)
    passed = forward(params, x, y)
    asked = Objective({"coverage": (0.5, Coverage(0.04)), "separation": (2.0, Separation(0.04))})
    matched = asked.match_forces(passed)

    def force(objective):
        return np.linalg.norm(objective.value_and_grad(params, x, y)[1].flatten())

    for name, share in (("coverage", 0.5), ("separation", 2.0)):
        alone = Objective({name: matched.terms[name]}, fit_weight=0.0)
        assert force(alone) == pytest.approx(share * force(Objective()), rel=1e-12)


def test_an_inert_term_cannot_be_given_a_force():
    params, x, y = problem(1, 3)
    inert = Objective({"separation": (0.1, Separation(1e-9))})
    with pytest.raises(ValueError, match="separation is inert at the start"):
        inert.match_forces(forward(params, x, y))


@pytest.mark.parametrize(
    ("terms", "fit_weight", "message"),
    [
        ({"overlap": (-1.0, Overlap())}, 1.0, "the weight of overlap is -1.0"),
        ({"overlap": (np.nan, Overlap())}, 1.0, "the weight of overlap is nan"),
        ({}, -0.5, "fit_weight is -0.5; it must be finite and at least 0"),
        ({"fit": (1.0, Overlap())}, 1.0, "a term is called 'fit'"),
        ({"objective": (1.0, Overlap())}, 1.0, "a term is called 'objective'"),
        ({"mine": (1.0, "loss")}, 1.0, "expected a StructuralLoss"),
    ],
)
def test_bad_objectives_are_named(terms, fit_weight, message):
    with pytest.raises(ValueError, match=message):
        Objective(terms, fit_weight)


@pytest.mark.parametrize("partial", [np.zeros(()), np.zeros((3, 5, 1, 1)), [1.0, 2.0]])
def test_a_partial_of_a_wrong_shape_is_named(partial):
    @dataclass(frozen=True)
    class Odd(StructuralLoss):
        def value_and_grad(self, forward):
            return forward.y[:, 0], {"prototypes": partial}

    params, x, y = problem(3, 5)
    with pytest.raises(ValueError, match=r"the partial of prototypes has shape .*; expected \(3,"):
        Objective({"odd": (1.0, Odd())}).value_and_grad(params, x, y)
