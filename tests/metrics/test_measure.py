import itertools

import numpy as np
import pytest
from helpers import problem, take
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from mlpspec.losses import built_in
from mlpspec.metrics import hull, prototypes
from mlpspec.metrics.measure import MEASUREMENTS, measure
from mlpspec.network.forward import forward
from mlpspec.network.neurons import RadialParams, RidgeParams

RNG = np.random.default_rng(0)


def points(n, d, n_runs=1):
    return RNG.uniform(-1, 1, (n_runs, n, d))


def distance(a, b):
    return np.sqrt(((a - b) ** 2).sum())


SHAPES = [(1, 1), (2, 1), (4, 4), (6, 6), (5, 3), (3, 5), (4, 1), (2, 6)]


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_reconstruction_error_against_all_matchings(n, k, d):
    for _ in range(5):
        x, p = points(max(n, 2), d), points(k, d)
        short, long = sorted((x[0], p[0]), key=len)
        best = min(
            np.mean([distance(a, b) for a, b in zip(short, chosen, strict=True)])
            for chosen in itertools.permutations(long, len(short))
        )
        assert prototypes.reconstruction(x, p)[0][0] == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize(("n", "k"), [(2, 2), (5, 5), (6, 4), (4, 6)])
def test_matching_pairs_are_distinct_and_in_order(n, k, d):
    x, p = points(n, d), points(k, d)
    inputs, matched = prototypes.match(x, p)
    assert len(set(inputs[0])) == len(set(matched[0])) == min(n, k)
    if d == 1:
        assert (np.diff(x[0, inputs[0], 0]) >= 0).all()
        assert (np.diff(p[0, matched[0], 0]) >= 0).all()


def test_hit_rate_by_hand():
    # Gaps 1, 1, 2: a prototype must be nearer than 0.5, 0.5 and 1.
    x = np.array([[[0.0], [1.0], [3.0]]])
    assert prototypes.reconstruction(x, np.array([[[0.49], [1.51], [3.99]]]))[1][0] == 2 / 3
    assert prototypes.reconstruction(x, np.array([[[0.5], [1.0], [4.0]]]))[1][0] == 1 / 3
    assert prototypes.reconstruction(x, x[:, :2])[1][0] == 2 / 3  # an input without partner
    doubled = np.array([[[0.0], [0.0]]])
    assert prototypes.reconstruction(doubled, doubled)[1][0] == 0.0


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_nearest_and_usage_against_loops(n, k, d):
    x, p = points(n, d, 3), points(k, d, 3)
    for r in range(3):
        winners, nearest = set(), []
        for a in x[r]:
            gaps = [distance(a, b) for b in p[r]]
            winners.add(int(np.argmin(gaps)))
            nearest.append(min(gaps))
        assert prototypes.usage_ratio(x, p)[r] == len(winners) / min(n, k)
        assert prototypes.nearest_error(x, p)[r] == pytest.approx(np.mean(nearest))


def test_activation_usage_against_loops():
    params, x, y = problem(4, 6, n_hidden=4)
    passed = forward(params, x, y)
    for r in range(4):
        winners = {max(range(4), key=lambda k, r=r, n=n: passed.hidden[r, n, k]) for n in range(6)}
        assert prototypes.activation_usage_ratio(passed.preactivation)[r] == len(winners) / 4


def test_activation_usage_where_responses_underflow():
    z = np.array([[[1e3, 1e4], [1e4, 1e3]]])
    assert prototypes.activation_usage_ratio(z)[0] == 1.0


@pytest.mark.parametrize("d", [1, 2])
def test_distinct_usage_against_loops(d):
    for _ in range(20):
        x, p = points(7, d), points(7, d)
        merged = 0.3
        group = list(range(7))
        for a, b in itertools.combinations(range(7), 2):
            if distance(p[0, a], p[0, b]) < merged:
                group = [group[a] if g == group[b] else g for g in group]
        winners = {group[int(np.argmin([distance(a, b) for b in p[0]]))] for a in x[0]}
        assert prototypes.distinct_usage_ratio(x, p, merged)[0] == len(winners) / 7


def test_distinct_usage_merges_what_is_closer_only():
    x = p = np.array([[[0.0], [1.0], [2.5]]])
    assert prototypes.distinct_usage_ratio(x, p, 1.0)[0] == 1.0
    assert prototypes.distinct_usage_ratio(x, p, 1.0 + 1e-9)[0] == 2 / 3
    assert prototypes.distinct_usage_ratio(x, p, 2.0)[0] == 1 / 3  # transitive


def inside_by_linear_programming(corners, point):
    equal = np.vstack([corners.T, np.ones(len(corners))])
    found = linprog(np.zeros(len(corners)), A_eq=equal, b_eq=[*point, 1.0], bounds=(0, None))
    return found.status == 0


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("n", [3, 5, 12])
def test_hull_membership_against_linear_programming(d, n):
    x, p = points(n, d)[0], 1.2 * points(60, d)[0]
    found = hull.hull_distance(x, p)
    inside = [inside_by_linear_programming(x, point) for point in p]
    assert ((found < 1e-9) == inside).all()
    if n == 12:
        assert 0 < sum(inside) < 60


def distance_to_segment(a, b, point):
    along = np.clip((point - a) @ (b - a) / max((b - a) @ (b - a), 1e-300), 0, 1)
    return distance(a + along * (b - a), point)


def test_hull_distance_in_the_plane_against_edges():
    x, p = points(8, 2)[0], 3 * points(100, 2)[0]
    edges = list(itertools.combinations(x, 2))
    for point, found in zip(p, hull.hull_distance(x, p), strict=True):
        inside = inside_by_linear_programming(x, point)
        expected = 0.0 if inside else min(distance_to_segment(a, b, point) for a, b in edges)
        assert found == pytest.approx(expected, abs=1e-9)


def test_hull_distance_in_one_dimension():
    x, p = np.array([[0.0], [2.0], [1.0]]), np.array([[-3.0], [0.0], [1.7], [2.5]])
    np.testing.assert_allclose(hull.hull_distance(x, p), [3.0, 0.0, 0.0, 0.5], atol=1e-12)
    outside, overshoot = hull.hull_escape(x[None], p[None])
    assert (outside[0], overshoot[0]) == (0.5, 1.75)


@pytest.mark.parametrize("d", [2, 3])
def test_hull_of_degenerate_inputs(d):
    start, way = np.ones(d), np.arange(1.0, d + 1)
    line = start + np.linspace(0, 1, 5)[:, None] * way
    point = np.repeat(start[None], 4, axis=0)
    p = RNG.normal(size=(20, d)) * 3
    on_line = hull.hull_distance(line, p)
    on_point = hull.hull_distance(point, p)
    on_pair = hull.hull_distance(line[[0, 4]], p)
    for k in range(20):
        segment = distance_to_segment(line[0], line[-1], p[k])
        assert on_line[k] == pytest.approx(segment, abs=1e-9)
        assert on_pair[k] == pytest.approx(segment, abs=1e-9)
        assert on_point[k] == pytest.approx(distance(start, p[k]), rel=1e-9)
    assert hull.hull_distance(point, start[None])[0] == 0.0
    doubled = np.concatenate([line, line])
    np.testing.assert_allclose(hull.hull_distance(doubled, p), on_line, atol=1e-9)


def test_hull_distance_in_many_dimensions_needs_no_hull():
    x = points(40, 9)[0]
    p = np.stack([x.mean(axis=0), x.mean(axis=0) + 5.0])
    found = hull.hull_distance(x, p)
    assert found[0] < 1e-9
    assert found[1] > 5.0


def test_measure_names_what_is_wrong():
    params, x, y = problem()
    with pytest.raises(ValueError, match="y has NaN"):
        measure(params, x, y * np.nan, width=2.0, losses=built_in(0.1))
    with pytest.raises(ValueError, match=r"x has shape \(3, 5\)"):
        measure(params, x[:, :, 0], y, width=2.0, losses=built_in(0.1))


def test_hull_distance_of_prototypes_that_ran_away():
    x = points(6, 2)[0]
    far = np.array([[1e9, 1e9], [1e-9, 0.0], [-1e12, 3.0]])
    found = hull.hull_distance(x, far)
    assert found[0] == pytest.approx(np.sqrt(2) * 1e9, rel=1e-6)
    assert found[2] == pytest.approx(1e12, rel=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    arrays(float, (5, 2), elements=st.integers(-2, 2).map(float)),
    arrays(float, (3, 2), elements=st.integers(-3, 3).map(float)),
)
def test_hull_membership_on_lattices(x, p):
    inside = [inside_by_linear_programming(x, point) for point in p]
    assert ((hull.hull_distance(x, p) < 1e-7) == inside).all()


def test_escape_by_hand():
    x = np.array([[[0.0], [1.0]]])
    p = np.array([[[-0.0009], [1.0011], [0.5], [3.0]]])  # the tolerance is 0.001
    outside, overshoot = hull.hull_escape(x, p)
    assert outside[0] == 0.5
    assert overshoot[0] == pytest.approx((0.0011 + 2.0) / 2)
    assert hull.hull_escape(x, x) == (np.zeros(1), np.zeros(1))
    one_place = np.zeros((1, 3, 1))
    assert hull.hull_escape(one_place, np.array([[[0.0], [1e-9]]]))[0][0] == 0.5


def test_expelled_by_hand():
    # Kept: two signs; too close; expelled: both sides.
    z = np.array([[[1.0, 0.4, 0.6, -0.6], [-1.0, 2.0, 2.0, -2.0]]])
    unit = RidgeParams(np.eye(4)[None], np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(1))
    found = hull.expelled(forward(unit, z, np.zeros((1, 2))))
    np.testing.assert_array_equal(found, [[False, False, True, True]])


def test_a_radial_neuron_is_expelled_when_its_center_is_outside_and_far():
    corners = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    center = np.array([[[0.5, 0.5], [2.0, 2.0], [1.1, 1.0], [2.0, 2.0]]])
    slope = np.array([[9.0, -9.0, 1.0, 0.1]])  # inside; gone; near; flat
    params = RadialParams(slope, center, np.zeros((1, 4)), np.zeros(1))
    found = hull.expelled(forward(params, corners, np.zeros((1, 4))))
    np.testing.assert_array_equal(found, [[False, True, False, False]])


def test_measurements_of_matched_kinds_of_neuron_agree_on_a_line():
    ridge, x, y = problem(3, 9)
    radial = problem(3, 9, neuron="radial")[0]
    one, other = (measure(p, x, y, width=2.0, losses=built_in(0.1)) for p in (ridge, radial))
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_spread_by_hand():
    x = np.linspace(0, 4, 5)[None, :, None]
    assert prototypes.spread_ratio(x, 3 * x)[0] == pytest.approx(3.0)
    both = np.concatenate([x, x], axis=2)
    assert prototypes.spread_ratio(both, both * [1.0, 3.0])[0] == pytest.approx(2.0)
    assert np.isnan(prototypes.spread_ratio(0 * x, x)[0])


def test_the_rest_by_hand():
    params = RidgeParams(
        np.array([[[2.0], [5e-4]]]), np.array([[0.0, 3.0]]), np.array([[1.0, 0.0]]), np.zeros(1)
    )
    x, y = np.array([[[0.0], [1.0]]]), np.array([[0.5, 0.0]])
    found = measure(params, x, y, width=1.0, losses=built_in(0.5))
    error = ((1.0 - 0.5) ** 2 + np.exp(-8)) / 2
    assert found["fit_mse"][0] == pytest.approx(error)
    assert found["fit_fvu"][0] == pytest.approx(error / 0.0625)
    assert found["min_slope"][0] == 5e-4
    assert found["vanished_fraction"][0] == 0.5
    assert found["silent_fraction"][0] == 0.5
    assert found["expelled_fraction"][0] == 0.5
    assert found["overlap_loss"][0] == pytest.approx((np.exp(-9) + np.exp(-4 - 3.0005**2)) / 2)


def test_runs_are_measured_one_by_one():
    params, x, y = problem(4, 6, 2)
    together = measure(params, x, y, width=2.0, losses=built_in(0.01))
    for r in range(4):
        row = slice(r, r + 1)
        alone = measure(take(params, row), x[row], y[row], width=2.0, losses=built_in(0.01))
        for name, values in together.items():
            assert values.shape == (4,)
            np.testing.assert_array_equal(alone[name][0], values[r], err_msg=name)


def test_theory_of_random_prototypes_in_one_dimension():
    x, p = points(100, 1, 400), points(100, 1, 400)
    assert prototypes.usage_ratio(x, p).mean() == pytest.approx(5 / 9, abs=0.01)
    tolerance = 2 * hull.OUTSIDE_TOLERANCE
    assert hull.hull_escape(x, p)[0].mean() == pytest.approx(2 / 101 - tolerance, abs=0.004)


def test_permuting_neurons_or_samples_changes_nothing():
    params, x, y = problem(2, 7, 2)
    order = RNG.permutation(7)
    permuted = RidgeParams(
        params.hidden_weight[:, order],
        params.hidden_bias[:, order],
        params.output_weight[:, order],
        params.output_bias,
    )
    one = measure(params, x, y, width=2.0, losses=built_in(0.1))
    for p, a, b in ((permuted, x, y), (params, x[:, order], y[:, order])):
        for name, values in measure(p, a, b, width=2.0, losses=built_in(0.1)).items():
            if a is not x and name == "false_killing_rate":
                continue  # it asks what is known as inputs come, in the order of the data
            np.testing.assert_allclose(values, one[name], rtol=1e-10, atol=1e-12, err_msg=name)


def test_what_is_measured_is_what_is_declared():
    params, x, y = problem(2)
    measured = measure(params, x, y, width=2.0, losses=built_in(0.1))
    assert list(measured) == [*MEASUREMENTS, "coverage_loss", "separation_loss", "overlap_loss"]
    assert [*MEASUREMENTS][:3] == ["reconstruction_error", "nearest_error", "hit_rate"]
    assert MEASUREMENTS["usage_ratio"].axis == "usage ratio"
