import numpy as np
import pytest

from mlpspec.data.datasets import Uniform, stream
from mlpspec.metrics import nulls
from mlpspec.metrics.measure import measure, measure_places
from mlpspec.metrics.nulls import (
    grid_null,
    grid_prototypes,
    other_null,
    random_network_null,
    random_null,
)
from mlpspec.network.initializers import Draw, uniform_prototypes

DOMAIN = Uniform()
RNG = np.random.default_rng(5)


def data(n_sets, n_samples, n_inputs=1):
    return RNG.uniform(-1, 1, (n_sets, n_samples, n_inputs))


def test_grid_by_hand():
    np.testing.assert_allclose(grid_prototypes(4, 1, DOMAIN)[:, 0], [-0.75, -0.25, 0.25, 0.75])
    plane = grid_prototypes(4, 2, DOMAIN)
    assert sorted(map(tuple, plane)) == [(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)]
    assert grid_prototypes(27, 3, DOMAIN).shape == (27, 3)
    assert len(np.unique(grid_prototypes(7, 2, DOMAIN), axis=0)) == 7


def test_grid_reads_a_grid_perfectly():
    x = grid_prototypes(6, 1, DOMAIN)[None]
    scores = grid_null(x, 6, DOMAIN)
    assert scores["reconstruction_error"][0] == 0.0
    assert scores["usage_ratio"][0] == 1.0


def test_random_prototypes_on_a_line_score_what_theory_says():
    x = data(20, 100)
    scores = random_null(x, np.arange(20), 100, DOMAIN)
    mean, low, high = scores["usage_ratio"]
    assert mean.mean() == pytest.approx(5 / 9, abs=0.01)
    assert (low < mean).all()
    assert (mean < high).all()
    # Outside lies what is beyond the outermost inputs, 2 / (N + 1) of the domain on average,
    # less the tolerance at either end.
    low, high = x.min(axis=(1, 2)), x.max(axis=(1, 2))
    slack = 1e-3 * (high - low)
    beyond = np.maximum(low + 1 - slack, 0) + np.maximum(1 - high - slack, 0)
    assert scores["outside_fraction"][0].mean() == pytest.approx((beyond / 2).mean(), abs=5e-4)
    many = data(4000, 20)
    gaps = (many.min(axis=1) + 1 + 1 - many.max(axis=1)) / 2
    assert gaps.mean() == pytest.approx(2 / 21, rel=0.03)


def test_random_null_is_the_same_in_any_company():
    x = data(3, 5)
    together = random_null(x, np.array([4, 7, 9]), 5, DOMAIN)
    alone = random_null(x[1:2], np.array([7]), 5, DOMAIN)
    for name, values in alone.items():
        for one, all_ in zip(values, together[name], strict=True):
            assert one[0] == all_[1]


def test_other_seeds_by_loops():
    x, p = data(5, 6), data(5, 6)
    found = other_null(x, p)
    for s in range(5):
        scores = [
            measure_places(x[t : t + 1], p[s : s + 1], width=2.0)["nearest_error"][0]
            for t in range(5)
            if t != s
        ]
        assert found["nearest_error"][s] == pytest.approx(np.mean(scores))


def test_prototypes_on_their_own_data_score_better_than_on_others():
    x = data(8, 10)
    assert (other_null(x, x)["reconstruction_error"] > 0.01).all()


def test_a_single_seed_has_no_others():
    x = data(1, 4)
    assert np.isnan(other_null(x, x)["nearest_error"]).all()


def network(s, rng):
    return uniform_prototypes(Draw(rng, 6, 2, DOMAIN))


def test_random_networks_are_measured_one_by_one(monkeypatch):
    monkeypatch.setattr(nulls, "NETWORKS", 30)
    x = data(2, 5, 2)
    found = random_network_null(x, np.array([4, 7]), network)
    rng = stream("random networks", 7, 5, 2)
    alone = [
        measure(network(1, rng), x[1:], np.zeros((1, 5)), width=2.0, losses={})
        for _ in range(nulls.NETWORKS)
    ]
    assert found
    for name, (mean, low, high) in found.items():
        values = np.array([measured[name][0] for measured in alone])
        values = values[np.isfinite(values)]
        assert mean[1] == pytest.approx(values.mean()), name
        assert [low[1], high[1]] == pytest.approx(np.quantile(values, [0.025, 0.975])), name
    monkeypatch.setattr(nulls, "MOST_RESPONSES", 100)  # three networks at a time
    for name, band in random_network_null(x, np.array([4, 7]), network).items():
        np.testing.assert_array_equal(band, found[name])


def test_only_the_first_data_sets_get_random_networks(monkeypatch):
    monkeypatch.setattr(nulls, "MOST_NETWORK_SETS", 1)
    monkeypatch.setattr(nulls, "NETWORKS", 10)
    x = data(3, 5, 2)
    for band in random_network_null(x, np.arange(3), network).values():
        assert np.isnan(np.stack(band)[:, 1:]).all()
    assert np.isfinite(
        np.stack(random_network_null(x, np.arange(3), network)["monosemantic_fraction"])[:, 0]
    ).all()
