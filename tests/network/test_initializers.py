"""Starts: the draws of every initializer against what it says of them."""

import numpy as np
import pytest

from mlpspec.data.datasets import Uniform, stream
from mlpspec.network.initializers import INITIALIZERS
from mlpspec.network.neurons import NEURONS

PLACED = ("uniform_prototypes", "spaced", "steep")


def drawn(name, n_hidden, n_inputs, domain, neuron="ridge", seed=0):
    rng = stream("start", seed, 10, n_inputs)
    return INITIALIZERS[name](rng, n_hidden, n_inputs, domain, neuron)


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
