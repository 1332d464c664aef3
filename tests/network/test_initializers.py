"""Starts: the draws of every initializer against what it says of them."""

import numpy as np
import pytest
from helpers import same_bits
from scipy.cluster.vq import kmeans2

from mlpspec.data.datasets import Uniform, stream
from mlpspec.errors import InputError, expect_number
from mlpspec.network.forward import forward
from mlpspec.network.initializers import (
    INITIALIZERS,
    LLOYD_STEPS,
    Draw,
    canonical_initializer,
    inputs,
    kmeans,
)
from mlpspec.network.neurons import NEURONS
from mlpspec.study.problem import start_of
from mlpspec.study.run import Run

AT_INPUTS = ("inputs", "kmeans")
PLACED = ("uniform_prototypes", "spaced", "steep")


def drawn(name, n_hidden, n_inputs, domain, neuron="ridge", seed=0):
    rng = stream("start", seed, 10, n_inputs)
    x = domain.draw(stream("data", seed, 10, n_inputs), 10, n_inputs)
    draw = Draw(rng, n_hidden, n_inputs, domain, NEURONS[neuron], lambda: x)
    return INITIALIZERS[name](draw)


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("n_inputs", [1, 3])
def test_every_start_is_finite_and_follows_from_its_stream(name, neuron, n_inputs):
    one, same, other = (
        drawn(name, 7, n_inputs, Uniform(), neuron, seed).flatten() for seed in (0, 0, 1)
    )
    assert isinstance(drawn(name, 7, n_inputs, Uniform(), neuron), NEURONS[neuron])
    assert one.shape == (1, 7 * (n_inputs + 2) + 1)
    assert np.isfinite(one).all()
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize("name", PLACED)
@pytest.mark.parametrize("domain", [Uniform(), Uniform(0.0, 1.0), Uniform(5.0, 9.0)])
def test_prototypes_are_placed_in_the_domain(name, domain):
    p = drawn(name, 40, 1, domain).prototypes[0, :, 0]
    assert (p >= domain.low - 1e-9).all()
    assert (p <= domain.high + 1e-9).all()
    assert np.ptp(p) > 0.8 * domain.width
    if name == "spaced":
        np.testing.assert_allclose(np.diff(p), domain.width / 40, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "n_hidden", "width", "steepness"),
    [
        ("uniform_prototypes", 4, 2.0, 2.0),
        ("uniform_prototypes", 100, 2.0, 25.0),
        ("spaced", 100, 1.0, 50.0),
        ("steep", 4, 2.0, 2.0),
        ("steep", 100, 2.0, 50.0),
        ("steep", 100, 1.0, 100.0),
    ],
)
def test_slopes(name, n_hidden, width, steepness):
    domain = Uniform(0.0, width)
    slopes = [drawn(name, n_hidden, 1, domain, seed=seed).hidden_weight for seed in range(50)]
    size = np.abs(slopes) / steepness
    assert 0.5 <= size.min() < 0.52
    assert 1.48 < size.max() <= 1.5
    assert abs(np.mean(np.sign(slopes))) < 0.15


@pytest.mark.parametrize("n_inputs", [1, 4])
def test_framework_draws_layers_by_their_fan_in(n_inputs):
    draws = [drawn("framework", 25, n_inputs, Uniform(), seed=seed) for seed in range(80)]
    first, second = n_inputs**-0.5, 0.2
    for name, bound in (
        ("hidden_weight", first),
        ("hidden_bias", first),
        ("output_weight", second),
        ("output_bias", second),
    ):
        values = np.concatenate([getattr(params, name).ravel() for params in draws])
        assert 0.95 * bound < np.abs(values).max() <= bound, name
        # The variance of U(-a, a) is a^2 / 3.
        assert values.var() == pytest.approx(bound**2 / 3.0, rel=0.35), name


FORMER = {
    "uniform_prototypes": [-1.512953, 2.917117, 0.3754424, -1.58071, 0.3215117, 0.6989918, 0],
    "standard_normal": [0.1430542, 1.2447, -0.9760397, 0.4546862, 0.6989918, 1.519702, 0],
    "framework": [0.248152, 0.5418741, -0.4870466, 0.9171171, 0.1416455, -0.2826051, 0.06854954],
    "spaced": [2.248152, -2.541874, 1.124076, 1.270937, 0.8801357, -0.6901643, 0],
    "steep": [-0.7564767, 1.458559, 0.1877212, -0.7903551, 0.3215117, 0.6989918, 0],
}
"""Starts of seed 7 with N = 2 as they were before there were others."""


@pytest.mark.parametrize("name", FORMER)
def test_the_first_starts_are_what_they_were(name):
    start = start_of(Run(n_samples=2, seed=7, initializer=name))
    np.testing.assert_allclose(start, FORMER[name], rtol=1e-6)


X = Uniform().draw(stream("data", 3, 9, 2), 9, 2)


def at(n_hidden, x, seed=3, neuron="radial", rng=None):
    rng = rng or stream("start", seed, *x.shape)
    return Draw(rng, n_hidden, x.shape[1], Uniform(), NEURONS[neuron], lambda: x)


def at_inputs(name, n_hidden, x=X, neuron="radial", **numbers):
    return INITIALIZERS[name](at(n_hidden, x, neuron=neuron), **numbers)


@pytest.mark.parametrize("name", AT_INPUTS)
def test_with_as_many_neurons_as_inputs_each_input_has_one(name):
    params = at_inputs(name, 9)
    found = params.prototypes[0]
    np.testing.assert_array_equal(found, X if name == "inputs" else X[np.argsort(X[:, 0])])
    ridges = at_inputs(name, 9, neuron="ridge")
    np.testing.assert_allclose(ridges.prototypes[0], found, rtol=1e-7)
    np.testing.assert_allclose(ridges.slopes, params.slopes, rtol=1e-14)


def test_fewer_neurons_take_inputs_without_repetition_and_more_take_all_of_them_first():
    few = [tuple(row) for row in at_inputs("inputs", 6).prototypes[0]]
    assert len({*few}) == 6
    assert {*few} < {tuple(row) for row in X}
    others = inputs(at(6, X, seed=4)).prototypes[0]
    assert {tuple(row) for row in others} != {*few}
    many = at_inputs("inputs", 22).prototypes[0]
    np.testing.assert_array_equal(many, np.concatenate([X, X, X[:4]]))


@pytest.mark.parametrize("n_hidden", [4, 9, 100])
def test_slopes_at_inputs_are_those_of_uniform_prototypes_times_a_number(n_hidden):
    plain = at_inputs("inputs", n_hidden)
    for slope in (4.0, 16.0):
        steep = at_inputs("inputs", n_hidden, slope=slope)
        np.testing.assert_array_equal(steep.slope, slope * plain.slope)
        np.testing.assert_array_equal(steep.output_weight, plain.output_weight)
    size = np.abs(plain.slope) / max(2.0, n_hidden**0.5 / 4.0)
    assert (size >= 0.5).all()
    assert (size <= 1.5).all()


@pytest.mark.parametrize("n_inputs", [1, 2, 6])
@pytest.mark.parametrize("n_hidden", [1, 2, 7])
def test_kmeans_is_that_of_scipy(n_hidden, n_inputs):
    x = Uniform().draw(stream("data", 0, 40, n_inputs), 40, n_inputs)
    found = at_inputs("kmeans", n_hidden, x).prototypes[0]
    rng = stream("start", 3, 40, n_inputs)
    centres, cluster = kmeans2(x, n_hidden, iter=LLOYD_STEPS, minit="++", rng=rng)
    np.testing.assert_array_equal(found, centres)
    # It is at rest: centres are the means of the inputs nearest to them.
    nearest = ((x[:, None] - found) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, cluster)
    means = [x[nearest == k].mean(axis=0) for k in range(n_hidden)]
    np.testing.assert_allclose(found, means, rtol=1e-12, atol=1e-14)


def test_kmeans_of_fewer_distinct_inputs_than_neurons():
    x = np.array([[0.5], [-0.5], [0.5], [0.0], [-0.5], [0.5]])
    for n_hidden in (3, 4, 6, 8):
        found = at_inputs("kmeans", n_hidden, x).prototypes[0, :, 0]
        np.testing.assert_array_equal(found, np.resize([-0.5, 0.0, 0.5], n_hidden))
    two = at_inputs("kmeans", 2, x).prototypes[0, :, 0]
    assert len({*two}) == 2
    alike = at_inputs("kmeans", 3, np.full((4, 2), 0.25)).prototypes[0]
    np.testing.assert_array_equal(alike, np.full((3, 2), 0.25))


def test_kmeans_with_an_empty_cluster_is_silent(monkeypatch):
    x = np.array([[0.0], [1.0], [1.0], [5.0]])
    monkeypatch.setattr("scipy.cluster.vq._valid_init_meth", {"++": lambda *_: x[[1, 2]]})
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="empty"):
        kmeans2(x, 2, minit="++", rng=rng)
    found = kmeans(at(2, x, rng=rng)).prototypes[0, :, 0]
    assert np.isfinite(found).all()


class Fed:
    """Stands for a random stream whose next draws are given."""

    def __init__(self, *draws):
        self.draws = [np.array(draw) for draw in draws]

    def standard_normal(self, shape):
        return self.draws.pop(0).reshape(shape)

    def uniform(self, low, high, shape):
        return low + (high - low) * self.standard_normal(shape)


UNIFORMS = [0.300129569, 0.438534286, 0.836578993, 0.392793722, 0.772659161, 0.8697706]
NORMALS = [-0.332850253, 1.021577137, 0.516979228, -0.854696381, 0.286497862, -1.998708212]
ONE_ROW = {
    "xavier": [-0.48958057, -0.150559635, 0.824446791],
    "he": [-0.271771094, 0.834114239, 0.422111772],
    "orthogonal": [-0.279156969, 0.856782817, 0.43358343],
}
PYTORCH = {
    "xavier": [-0.437894174, -0.134664632, 0.737407628, -0.234877188, 0.597366292, 0.810126795],
    "he": [-0.332850253, 1.021577137, 0.516979228, -0.854696381, 0.286497862, -1.998708212],
    "orthogonal": [-0.490687413, 0.031284846, 0.76213011, 0.499818355, 0.422354778, -0.865565058],
}
"""What `xavier_uniform_`, `kaiming_normal_` and `orthogonal_` of PyTorch 2.13.0 make of these draws
for weights of the shapes (1, 3) and (3, 2)."""


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", PYTORCH)
def test_layers_are_those_of_pytorch(name, neuron):
    draws = UNIFORMS if name == "xavier" else NORMALS
    params = INITIALIZERS[name](Draw(Fed(draws, draws[:3]), 3, 2, kind=NEURONS[neuron]))
    expected = np.reshape(PYTORCH[name], (3, 2))
    if neuron == "ridge":
        np.testing.assert_allclose(params.hidden_weight[0], expected, rtol=1e-7)
    np.testing.assert_allclose(params.slopes[0], np.linalg.norm(expected, axis=1), rtol=1e-7)
    np.testing.assert_allclose(params.output_weight[0], ONE_ROW[name], rtol=1e-7)
    assert (params.prototypes == 0.0).all()
    assert (params.output_bias == 0.0).all()


def test_a_wide_orthogonal_layer_is_that_of_pytorch():
    draws = np.reshape(NORMALS, (2, 3)).T
    params = INITIALIZERS["orthogonal"](Draw(Fed(draws, [1.0, 1.0]), 2, 3))
    expected = ONE_ROW["orthogonal"] + [-0.445348516, 0.284515898, -0.848949588]
    np.testing.assert_allclose(params.hidden_weight.ravel(), expected, rtol=1e-7)


@pytest.mark.parametrize(("n_hidden", "n_inputs"), [(1, 1), (7, 1), (7, 3), (3, 3), (2, 5)])
def test_orthogonal_layers(n_hidden, n_inputs):
    params = drawn("orthogonal", n_hidden, n_inputs, Uniform())
    w = params.hidden_weight[0]
    square = w.T @ w if n_hidden >= n_inputs else w @ w.T
    np.testing.assert_allclose(square, np.eye(len(square)), atol=1e-14)
    assert np.linalg.norm(params.output_weight) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("name", PYTORCH)
def test_without_biases_both_kinds_of_neuron_are_one_network_on_a_line(name):
    x, y = np.linspace(-1.0, 1.0, 8)[None, :, None], np.zeros((1, 8))
    ridge, radial = (forward(drawn(name, 7, 1, Uniform(), neuron), x, y) for neuron in NEURONS)
    np.testing.assert_allclose(ridge.output, radial.output, rtol=1e-13)
    assert not ridge.prototypes.any()
    assert not radial.prototypes.any()


@pytest.mark.parametrize("name", [*AT_INPUTS, *PYTORCH])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(("n_inputs", "n_hidden"), [(1, None), (2, 4)])
def test_a_start_is_moved_with_its_data(name, neuron, n_inputs, n_hidden):
    run = Run(initializer=name, neuron=neuron, n_inputs=n_inputs, n_hidden=n_hidden)
    moved = Run(**run.to_dict() | {"shift": 3.0})
    expected = NEURONS[neuron].unflatten(start_of(run)[None], n_inputs).moved(3.0).flatten()[0]
    np.testing.assert_allclose(start_of(moved), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", AT_INPUTS)
def test_a_start_at_inputs_follows_from_the_stream_of_the_start(name):
    run = Run(initializer=name, n_hidden=7)
    assert same_bits(start_of(run), start_of(Run(initializer=name, n_hidden=7, losses="overlap")))
    placebo = Run(initializer=name, n_hidden=7, start="placebo")
    assert not same_bits(start_of(run), start_of(placebo))


def test_a_start_at_inputs_without_them_is_refused_in_one_line():
    with pytest.raises(InputError, match="give them, as Draw"):
        inputs(Draw(np.random.default_rng(0), 3))


def test_a_start_refuses_numbers_of_its_own_where_it_is_described(monkeypatch):
    def central(draw, share=0.5):
        expect_number(f"central has share={share:g}", share, above=0.0, most=1.0)
        return inputs(draw, slope=share)

    monkeypatch.setitem(INITIALIZERS, "central", central)
    assert canonical_initializer("central(0.25)") == "central(share=0.25)"
    with pytest.raises(InputError, match="central has share=-3; it must be above 0 and at most 1"):
        canonical_initializer("central(share=-3)")
