"""check_loss: wrong losses are caught, with a message that names the fault; right ones pass."""

from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest
from helpers import every_loss

import mlpspec
from mlpspec import losses
from mlpspec.errors import InputError, LossError
from mlpspec.losses import (
    Coverage,
    HardCoverage,
    Inhibition,
    LogRepulsion,
    Overlap,
    Separation,
    StructuralLoss,
    check_loss,
)
from mlpspec.losses.objective import Fit
from mlpspec.network.neurons import NEURONS

RIGHT = [*every_loss().values(), Fit(), Coverage(1e-6), Coverage(10.0), Separation(10.0)]
RIGHT += [Inhibition(0.44, floor=0.0, promote=True)]  # jumps within reach of the differences


def loss_of(function, **fields):
    """Return a frozen loss whose value_and_grad is ``function`` of (passed)."""

    @dataclass(frozen=True)
    class Mine(StructuralLoss):
        def value_and_grad(self, forward):
            return function(forward)

    return Mine()


def fault_of(function, **options):
    loss = function if isinstance(function, StructuralLoss) else loss_of(function)
    with pytest.raises(LossError) as caught:
        check_loss(loss, **options)
    return str(caught.value)


def scaled(factor, name="prototypes", inner=None):
    """Return coverage (or another loss) with one partial times ``factor`` of the forward pass."""
    inner = Coverage(0.1) if inner is None else inner

    def function(forward):
        value, partials = inner.value_and_grad(forward)
        return value, {**partials, name: partials[name] * factor(forward)}

    return function


def height(forward):
    """mean_n f_n^2 + mean_k |p_k|^2 and its partials: two quantities of one loss."""
    f, p = forward.output, forward.prototypes
    value = np.square(f).mean(axis=1) + np.square(p).sum(axis=2).mean(axis=1)
    return value, {"output": 2 * f / f.shape[1], "prototypes": 2 * p / p.shape[1]}


@pytest.mark.parametrize("loss", RIGHT, ids=repr)
@pytest.mark.parametrize("neuron", NEURONS)
def test_right_losses_pass(loss, neuron):
    report = check_loss(loss, neuron=neuron)
    assert {check.verdict for check in report.checks} == {"ok"}, str(report)
    names = [check.name for check in report.checks]
    assert names[:5] == ["class", "returns", "input", "runs", "gradient"]
    assert names[5:] == ["extremes", "permutation", "float32", "one neuron"]
    assert report.checks[4].value < 1e-6  # also where a run has next to no gradient
    assert f"{loss!r} passes" in str(report)
    assert len(str(report).splitlines()) == 1 + len(names)


def test_it_is_public():
    assert mlpspec.check_loss is check_loss
    assert issubclass(mlpspec.LossError, InputError)


def test_every_loss_that_the_package_defines_is_among_them():
    modules = [import_module(f"mlpspec.losses.{m.name}") for m in iter_modules(losses.__path__)]
    defined = {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, StructuralLoss)
    }
    bases = {StructuralLoss, losses.Formula}  # what losses are derived from
    assert defined - bases == {type(loss) for loss in RIGHT}


# ---------------------------------------------------------------- wrong far from the origin


def squares(wrong):
    """sum |p|^2 with a gradient that is too large where ``wrong`` of the forward pass is true."""

    def function(forward):
        p = forward.prototypes
        return np.square(p).sum(axis=(1, 2)), {"prototypes": 2 * p * np.where(wrong(forward), 2, 1)}

    return function


@pytest.mark.parametrize(
    ("low", "high", "spread"),
    [(2, np.inf, 3), (2, 3, 3), (3, np.inf, 10), (4, 9, 10), (12, np.inf, 100), (30, 60, 100)],
)
@pytest.mark.parametrize("neuron", NEURONS)
def test_a_gradient_that_is_wrong_far_away_is_named_with_the_spread(low, high, spread, neuron):
    def between(forward):
        return (np.abs(forward.prototypes) > low) & (np.abs(forward.prototypes) < high)

    text = fault_of(squares(between), neuron=neuron)
    assert f"right near the origin, and wrong where prototypes spread to {spread}\n" in text
    assert "(ratio 2)" in text
    assert "from the origin; wrong entries there" in text


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_gradient_that_is_wrong_where_training_leads_is_named(neuron):
    steep = fault_of(squares(lambda f: f.params.slopes[:, :, None] > 8.0), neuron=neuron)
    assert "the gradient is right near the origin, and wrong where training leads\n" in steep

    def close_and_expelled(forward):
        p = forward.prototypes
        gaps = np.linalg.norm(p[:, :, None] - p[:, None], axis=3) + 9.0 * np.eye(p.shape[1])
        return (gaps.min(axis=2) < 5e-3)[:, :, None] & (np.abs(p).max() > 2.0)

    text = fault_of(squares(close_and_expelled), neuron=neuron)
    assert "the gradient is right near the origin, and wrong where training leads\n" in text


@pytest.mark.parametrize("neuron", NEURONS)
def test_kinks_and_flat_stretches_far_away_are_no_faults(neuron):
    def of_prototypes(value, slope):
        def function(forward):
            p = forward.prototypes
            return value(p).sum(axis=(1, 2)), {"prototypes": slope(p)}

        return loss_of(function)

    for value, slope in (
        (np.abs, np.sign),
        (lambda p: np.minimum(p**2, 9.0), lambda p: np.where(p**2 < 9.0, 2 * p, 0.0)),
        (np.tanh, lambda p: 1.0 - np.tanh(p) ** 2),
        (lambda p: np.maximum(np.abs(p) - 2.0, 0.0), lambda p: np.sign(p) * (np.abs(p) > 2.0)),
        (lambda p: np.exp(-(p**2) / 0.02), lambda p: -100.0 * p * np.exp(-(p**2) / 0.02)),
        (lambda p: p**8, lambda p: 8.0 * p**7),
    ):
        (gradient,) = [
            check
            for check in check_loss(of_prototypes(value, slope), neuron=neuron).checks
            if check.name == "gradient"
        ]
        assert "prototypes up to 100 from the origin" in gradient.detail


# ---------------------------------------------------------------- eight wrong losses


def test_wrong_sign():
    text = fault_of(scaled(lambda passed: -1.0))
    assert "the partial of prototypes has the wrong sign (ratio -1)" in text
    assert "(ratio -1)" in text.splitlines()[-1]
    assert "gradient with respect to hidden_" in text


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (lambda f: 2.0, "is 2 times too large (ratio 2)"),
        (lambda f: 0.5, "is 2 times too small (ratio 1/2)"),
        (lambda f: -2.0, "is 2 times too large (ratio -2), and has the wrong sign"),
        (lambda f: f.x.shape[1], "is N times too large (ratio N); likely it misses a mean over "),
        (lambda f: 1 / f.x.shape[1], "likely it has a mean over the N inputs that the value has"),
        (lambda f: f.hidden.shape[2], "likely it misses a mean over the K neurons"),
        (
            lambda f: 2 / (f.hidden.shape[2] * (f.hidden.shape[2] - 1)),
            "too small (ratio 1/(K (K - 1) / 2)); likely it has a mean over the pairs of neurons",
        ),
        (lambda f: 1.0001, "is 1.0001 times what it should be"),
    ],
)
@pytest.mark.parametrize("neuron", NEURONS)
def test_factors_are_named(factor, message, neuron):
    text = fault_of(scaled(factor), neuron=neuron)
    assert f"the partial of prototypes {message}" in text or message in text
    assert "differences of the value give" in text


def test_of_two_partials_the_wrong_one_is_named():
    def twice(forward):
        value, partials = height(forward)
        return value, {**partials, "output": 2 * partials["output"]}

    text = fault_of(twice)
    assert "the partial of output is 2 times too large" in text
    assert "the partial of prototypes" not in text
    assert check_loss(loss_of(height))


def test_mean_over_the_runs_of_the_value():
    text = fault_of(lambda f: (np.square(f.output).mean(), {"output": f.output}))
    assert "value is a single number for 3 runs" in text
    assert "over the runs too, give the axes, never axis 0" in text


def test_mean_over_the_runs_of_the_gradient():
    text = fault_of(scaled(lambda f: 1 / len(f.x)))
    assert "the partial of prototypes of a run changes with its neighbours" in text
    assert "it is divided by the number of runs R; likely a mean over R" in text


def test_a_leak_between_runs():
    def leaky(forward):
        value, partials = Coverage().value_and_grad(forward)
        return value - value.mean(), partials

    text = fault_of(leaky)
    assert "value of a run changes with its neighbours: at N = 2, K = 2, D = 1" in text
    assert "likely something is reduced over axis 0" in text


def test_a_leak_in_the_last_bits():
    def leaky(forward):
        value, partials = Coverage().value_and_grad(forward)
        return (value + len(value)) - len(value), partials

    assert "likely a sum or a product whose order depends on the number of runs" in fault_of(leaky)


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_forgotten_field(neuron):
    def forgetful(forward):
        v = forward.params.output_weight
        value, partials = Coverage().value_and_grad(forward)
        return value + np.square(v).sum(axis=1), partials

    text = fault_of(forgetful, neuron=neuron)
    assert "value depends on output_weight but no partial was returned for it" in text
    assert "gradient with respect to output_weight at run" in text
    assert "0 of 21 in output_weight" not in text


def test_a_forgotten_quantity():
    def forgetful(forward):
        value, partials = height(forward)
        return value, {"prototypes": partials["prototypes"]}

    text = fault_of(forgetful)
    assert "the loss reads forward.output but returned no partial for it" in text
    assert "value depends on output_weight but no partial" in text
    assert "forward.hidden" not in text  # read by the model, not by the loss


def test_what_the_loss_reads_and_returns_is_not_called_forgotten():
    text = fault_of(lambda f: (f.hidden.std(axis=1).mean(axis=1), {"hidden": f.hidden}))
    assert "gradient with respect to" in text
    assert "but returned no partial" not in text


def test_not_a_number_where_prototypes_coincide():
    def pointed(forward):  # mean distance of all pairs from prototype 0
        p = forward.prototypes
        gap = p[:, 1:] - p[:, :1]
        distance = np.sqrt(np.square(gap).sum(axis=2))
        with np.errstate(all="ignore"):
            pull = gap / distance[:, :, None]
        grad = np.concatenate([-pull.sum(axis=1, keepdims=True), pull], axis=1)
        return distance.sum(axis=1), {"prototypes": grad}

    text = fault_of(pointed)
    assert "where all prototypes coincide: the partial of prototypes is not finite" in text
    assert "1e6" not in text


def test_overflow_far_away():
    def steep(forward):
        p = forward.prototypes
        value = np.square(p).sum(axis=2)
        with np.errstate(all="ignore"):
            growth = np.exp(value)
            return growth.sum(axis=1), {"prototypes": 2 * p * growth[:, :, None]}

    text = fault_of(steep)
    assert "where one prototype is 1e6 away: value is not finite: 3 of 3 entries" in text
    assert len(text.splitlines()) > 1


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda f: None, "value_and_grad returned None; expected a tuple (value, partials)"),
        (lambda f: [f.y.sum(axis=1), {}], "value_and_grad returned a list"),
        (lambda f: f.y.sum(axis=1), "value_and_grad returned a ndarray"),
        (lambda f: (f.y.sum(axis=1).tolist(), {}), "value is a list; expected one number a run"),
        (lambda f: (f.y, {}), "value has shape (3, 2) at N = 2, K = 2, D = 1; expected one number"),
        (lambda f: (f.y.sum(axis=1).astype(np.float32), {}), "value is float32; expected float64"),
        (lambda f: (f.y.sum(axis=1), None), "partials is a NoneType; expected a dict"),
        (lambda f: (f.y.sum(axis=1), {"hiden": f.hidden}), "no derivative is known for 'hiden'"),
        (lambda f: (f.y.sum(axis=1), {"hidden": f.y}), "the partial of hidden has shape (3, 2)"),
        (lambda f: (f.y.sum(axis=1), {"output": 1.0}), "the partial of output is a float"),
        (lambda f: (f.y.sum(axis=1) * np.nan, {}), "value is not finite: 3 of 3 entries are NaN"),
        (lambda f: (f.y.sum(axis=1), {"output": f.y * np.inf}), "the partial of output is not "),
        (lambda f: f.colour, "raises AttributeError: 'Forward' object has no attribute 'colour'"),
        (lambda f: 1 / 0, "raises ZeroDivisionError: division by zero (test_check.py, line"),
        (lambda f: ([[1.0], [1.0, 2.0]], {}), "value is a list; expected one number a run"),
    ],
)
def test_wrong_returns(returned, message):
    assert message in fault_of(returned)


def test_a_transposed_partial():
    def transposed(forward):
        value, _ = Overlap().value_and_grad(forward)
        return value, {"hidden": forward.hidden.swapaxes(1, 2)}

    text = fault_of(transposed)
    assert "the partial of hidden has shape (3, 6, 4); expected (3, 4, 6), at N = 4, K = 6" in text


def test_damage_to_the_input():
    def careless(forward):
        gap = forward.prototypes
        gap -= 1.0
        return np.square(gap).sum(axis=(1, 2)), {"prototypes": 2 * gap}

    text = fault_of(careless)
    assert "value_and_grad writes to its input, which is read-only: copy it first" in text


@pytest.mark.parametrize("name", ["x", "hidden", "output_weight"])
def test_wilful_damage_to_the_input(name):
    def vandal(forward):
        array = getattr(forward if hasattr(forward, name) else forward.params, name)
        array.flags.writeable = True
        array += 1.0
        return Coverage().value_and_grad(forward)

    assert f"value_and_grad changes its input {name}" in fault_of(vandal)


# ---------------------------------------------------------------- subtle ones


@pytest.mark.parametrize("inner", [Coverage(), Separation(0.1), HardCoverage(), LogRepulsion()])
@pytest.mark.parametrize("neuron", NEURONS)
def test_a_relative_error_of_1e_4_in_one_place(inner, neuron):
    def only_neuron_1(forward):
        factor = np.ones(forward.prototypes.shape[1:])
        factor[1, -1] += 1e-4
        return factor

    text = fault_of(scaled(only_neuron_1, inner=inner), neuron=neuron)
    assert "neuron 1" in text
    assert "wrong entries there" in text


def test_a_kink_is_no_fault():
    def farthest(forward):  # max_k min_n |x_n - p_k|: kinks of both kinds
        x, p = forward.x, forward.prototypes
        gap = np.abs(x[:, :, None] - p[:, None]).sum(axis=3)
        nearest = gap.argmin(axis=1)
        distance = np.take_along_axis(gap, nearest[:, None], axis=1)[:, 0]
        k = distance.argmax(axis=1)
        run = np.arange(len(x))
        grad = np.zeros_like(p)
        grad[run, k] = np.sign(p[run, k] - x[run, nearest[run, k]])
        return distance.max(axis=1), {"prototypes": grad}

    report = check_loss(loss_of(farthest))
    (gradient,) = [check for check in report.checks if check.name == "gradient"]
    assert "skipped at kinks" in gradient.detail

    def wrong(forward):
        value, partials = farthest(forward)
        return value, {"prototypes": 1.0001 * partials["prototypes"]}

    assert "is 1.0001 times what it should be" in fault_of(wrong)


def test_what_cannot_be_differentiated_is_said():
    def rounded(forward):
        value, partials = Coverage().value_and_grad(forward)
        return value.astype(np.float32).astype(float), partials

    assert "value is too rough to differentiate by hidden_" in fault_of(rounded)


def test_state_is_found():
    calls = []

    def counting(forward):
        calls.append(1)
        value, partials = Coverage().value_and_grad(forward)
        return value + len(calls), partials

    assert "the same input gives other bits the second time: keep no state" in fault_of(counting)


def test_a_reused_buffer_is_found():
    buffer = np.zeros(3)

    def thrifty(forward):
        value, partials = Coverage().value_and_grad(forward)
        if len(value) != 3:
            return value, partials
        buffer[:] = value
        return buffer, partials

    assert "a later call overwrites what an earlier one returned" in fault_of(thrifty)


# ---------------------------------------------------------------- the class


def test_wrong_classes():
    class Plain(StructuralLoss):
        def value_and_grad(self, forward):
            return Coverage().value_and_grad(forward)

    @dataclass
    class Molten(Plain):
        pass

    @dataclass(frozen=True)
    class Unhashable(Plain):
        weights: list = field(default_factory=list)

    @dataclass(frozen=True)
    class Stranger:
        pass

    for loss, message in [
        (Plain(), "Plain is no dataclass; decorate it with @dataclass(frozen=True)"),
        (Molten(), "Molten is not frozen"),
        (Unhashable(), "its fields must be scalars"),
        (Stranger(), "Stranger is no StructuralLoss"),
        (Coverage, r"this is the class; expected an instance, Coverage(...)"),
        (None, "NoneType is no StructuralLoss"),
    ]:
        with pytest.raises(LossError) as caught:
            check_loss(loss)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_unknown_neurons_are_named():
    with pytest.raises(InputError, match="unknown neuron 'rigde'; did you mean 'ridge'"):
        check_loss(Coverage(), neuron="rigde")


# ---------------------------------------------------------------- what is only reported


def notes(loss, **options):
    report = check_loss(loss, **options)
    return {check.name: check.detail for check in report.checks if check.verdict == "note"}


def test_a_loss_of_the_first_neuron_depends_on_their_order():
    def first(forward):
        p = forward.prototypes
        grad = np.zeros_like(p)
        grad[:, 0] = 2 * p[:, 0]
        return np.square(p[:, 0]).sum(axis=1), {"prototypes": grad}

    found = notes(loss_of(first))
    assert list(found) == ["permutation"]
    assert "changes the value by" in found["permutation"]


def test_double_precision_alone_is_reported():
    def double(forward):
        value, partials = Coverage().value_and_grad(forward)
        return value.astype(float), partials

    assert notes(loss_of(double)) == {"float32": "value is float64; expected float32 as the input"}


def test_pairs_of_one_neuron_are_reported():
    def pairs(forward):
        value, partials = Separation(0.1).value_and_grad(forward)
        with np.errstate(all="ignore"):
            n_pairs = np.float64(forward.hidden.shape[2] - 1)
            return value / n_pairs, {"prototypes": partials["prototypes"] / n_pairs}

    assert "value is not finite" in notes(loss_of(pairs), neuron="radial")["one neuron"]


def test_a_loss_without_force_is_reported():
    assert "nothing was compared" in notes(Separation(1e-12))["force"]
