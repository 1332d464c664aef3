"""The losses beyond the study's: hand-computed values, limits, gradients."""

import numpy as np
import pytest
from helpers import (
    assert_each_run_as_if_alone,
    central_difference,
    every_loss,
    problem,
    same_bits,
    take,
)
from scipy.spatial.distance import pdist

from mlpspec.losses import (
    BUILT_IN,
    Coverage,
    HardCoverage,
    HullBarrier,
    LogRepulsion,
    ReverseCoverage,
    WeightDecay,
    built_in,
)
from mlpspec.metrics.hull import hull_distance
from mlpspec.network.forward import Forward, backward, forward
from mlpspec.network.neurons import RidgeParams

EVERY = every_loss(ReverseCoverage=ReverseCoverage(0.05), LogRepulsion=LogRepulsion(0.1))
STUDIED = {type(loss) for loss in built_in(0.05).values()}  # tested beside this file
LOSSES = [loss for loss in EVERY.values() if type(loss) not in STUDIED]
NAMES = [type(loss).__name__ for loss in LOSSES]


def at(prototypes, x):
    """Forward pass of ridges with these prototypes (R, K, D), on inputs x (R, N, D)."""
    p = np.asarray(prototypes, dtype=float)
    x = np.asarray(x, dtype=float)
    size = np.linalg.norm(p, axis=2, keepdims=True)
    toward = np.where(size > 0, p / np.where(size > 0, size, 1.0), np.eye(p.shape[2])[0])
    w = 1e3 * toward  # steep, so that eps moves the prototypes by 1e-14 of their size
    params = RidgeParams(w, -(w * p).sum(axis=2), np.ones(p.shape[:2]), np.zeros(len(p)))
    return forward(params, x, np.zeros(x.shape[:2]))


def pull(loss, passed):
    value, partials = loss.value_and_grad(passed)
    return value, partials["prototypes"]


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
@pytest.mark.parametrize("n_inputs", [1, 2, 3])
@pytest.mark.parametrize("shape", [(5, 4), (3, 1)])
def test_gradient_against_finite_differences(loss, n_inputs, shape):
    params, x, y = problem(3, shape[0], n_inputs, shape[1])
    x = 0.4 * x  # so that prototypes lie on either side of the hull
    passed = forward(params, x, y)
    exact = backward(passed, loss.value_and_grad(passed)[1]).flatten()

    def function(flat):
        return loss.value_and_grad(Forward(RidgeParams.unflatten(flat, n_inputs), x, y))[0]

    numeric = central_difference(function, params.flatten(), step=1e-4)
    np.testing.assert_allclose(exact, numeric, rtol=1e-7, atol=1e-8 * np.abs(exact).max())


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_each_run_as_if_alone(loss, n_inputs):
    for n_samples in (3, 8, 50):
        assert_each_run_as_if_alone(loss, forward(*problem(5, n_samples, n_inputs)))


def test_they_are_not_part_of_the_study():
    assert set(BUILT_IN) == set(built_in(1.0)) == {"coverage", "separation", "overlap"}


def test_hard_coverage_by_hand():
    # Inputs 0 and 1 belong to the prototype at 0.25, 3 to the one at 2; that at 9 is nobody's.
    value, grad = pull(HardCoverage(), at([[[0.25], [2.0], [9.0]]], [[[0.0], [1.0], [3.0]]]))
    assert value[0] == pytest.approx((0.0625 + 0.5625 + 1.0) / 3)
    np.testing.assert_allclose(grad[0, :, 0], [2 / 3 * (0.25 - 0.75), 2 / 3 * -1.0, 0.0])


def test_hard_coverage_is_the_limit_of_coverage():
    passed = forward(*problem(3, 6, 2))
    value, grad = pull(HardCoverage(), passed)
    gaps = []
    for tau in (1e-1, 1e-2, 1e-3):
        soft_value, soft_grad = pull(Coverage(tau), passed)
        # The nearest prototype alone leaves tau log K.
        gaps.append(np.abs(soft_value - tau * np.log(6) - value).max())
    assert gaps[0] > gaps[1] > gaps[2]
    np.testing.assert_allclose(soft_value - tau * np.log(6), value, atol=1e-5)
    np.testing.assert_allclose(soft_grad, grad, atol=2e-2)


def test_the_first_of_equally_near_prototypes_is_pulled():
    _, grad = pull(HardCoverage(), at([[[1.0], [-1.0]]], [[[0.0]]]))
    np.testing.assert_allclose(grad[0, :, 0], [2.0, 0.0])


def test_reverse_coverage_is_coverage_with_roles_exchanged():
    rng = np.random.default_rng(0)
    x, p = rng.uniform(-1, 1, (2, 4, 2)), rng.uniform(-1, 1, (2, 6, 2))
    reverse = ReverseCoverage(0.1).value_and_grad(at(p, x))[0]
    np.testing.assert_allclose(reverse, Coverage(0.1).value_and_grad(at(x, p))[0], rtol=1e-10)
    chamfer = [
        sum(loss.value_and_grad(passed)[0] for loss in (Coverage(0.1), ReverseCoverage(0.1)))
        for passed in (at(p, x), at(x, p))
    ]
    np.testing.assert_allclose(*chamfer, rtol=1e-10)


def test_reverse_coverage_brings_back_what_is_far_away():
    # Seen from 1e6, only the input at 1 counts; the other prototype lies midway.
    value, grad = pull(ReverseCoverage(0.01), at([[[1e6], [0.0]]], [[[-1.0], [1.0]]]))
    far = (1e6 - 1.0) ** 2 + 0.01 * np.log(2)
    assert value[0] == pytest.approx((far + 1.0) / 2, rel=1e-12)
    np.testing.assert_allclose(grad[0, :, 0], [1e6 - 1.0, 0.0], rtol=1e-9, atol=1e-9)


def test_log_repulsion_by_hand():
    # Pairs at distances 3, 4, 5 with softening 0.1.
    corners = [[[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]]
    value, grad = pull(LogRepulsion(0.1), at(corners, np.zeros((1, 2, 2))))
    assert value[0] == pytest.approx(-np.log([9.01, 16.01, 25.01]).mean() / 2)
    np.testing.assert_allclose(grad[0, 0], [1 / 9.01, 4 / 16.01 / 3], atol=1e-9)
    np.testing.assert_allclose(grad.sum(axis=1), 0.0, atol=1e-12)  # forces are mutual


def test_log_repulsion_of_coincident_prototypes():
    value, grad = pull(LogRepulsion(1e-3), at([[[0.5]] * 3], [[[0.0]]]))
    assert value[0] == pytest.approx(-np.log(1e-3))
    assert (grad == 0).all()
    # The pair's force is largest at the softening.
    force = [pull(LogRepulsion(1e-3), at([[[d], [0.0]]], [[[0.0]]]))[1][0, 1, 0] for d in
             (0.5e-3, 1e-3, 2e-3)]  # fmt: skip
    assert force[1] == pytest.approx(500.0)
    assert force[1] > max(force[0], force[2])


@pytest.mark.parametrize("softening", [0.0, -1.0, np.nan, np.inf])
def test_bad_softening(softening):
    with pytest.raises(ValueError, match="softening is"):
        LogRepulsion(softening)


def test_hull_barrier_on_a_line():
    x = [[[-1.0], [0.5], [2.0]]]
    value, grad = pull(HullBarrier(), at([[[-3.0], [0.1], [2.0], [2.5]]], x))
    assert value[0] == pytest.approx((4.0 + 0.25) / 4)
    np.testing.assert_allclose(grad[0, :, 0], [-1.0, 0.0, 0.0, 0.25], atol=1e-12)


def test_hull_barrier_of_a_triangle():
    x = [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.2, 0.2]]]
    for point, escape in [
        ((0.2, 0.2), 0.0),
        ((0.5, 0.5), 0.0),
        ((0.3, -2.0), 2.0),
        ((1.0, 1.0), 0.5**0.5),
        ((-3.0, -4.0), 4.0),  # a corner is nearest: the larger violation, not the distance 5
    ]:
        value, grad = pull(HullBarrier(), at([[point]], x))
        assert value[0] == pytest.approx(escape**2, abs=1e-12)
        assert np.linalg.norm(grad) == pytest.approx(2 * escape, abs=1e-7)


@pytest.mark.parametrize("n_inputs", [1, 2, 3, 4])
def test_hull_barrier_against_the_distance_from_the_hull(n_inputs):
    rng = np.random.default_rng(n_inputs)
    x, p = rng.uniform(-1, 1, (12, n_inputs)), rng.uniform(-1.5, 1.5, (40, n_inputs))
    passed = at(p[None], x[None])
    distance = hull_distance(x, passed.prototypes[0])
    escape = np.array([HullBarrier().value_and_grad(at([[q]], x[None]))[0][0] for q in p]) ** 0.5
    np.testing.assert_array_equal(escape < 1e-7, distance < 1e-7)
    assert (escape <= distance + 1e-7).all()
    assert np.isclose(escape, distance, atol=1e-7).mean() > (0.99 if n_inputs == 1 else 0.1)
    whole = HullBarrier().value_and_grad(passed)[0][0]
    assert whole == pytest.approx((escape**2).mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("x", "p", "distance"),
    [
        ([[1.0, 2.0]], [4.0, 6.0], 5.0),  # one point
        ([[1.0, 2.0]] * 3, [4.0, 6.0], 5.0),  # the same point three times
        ([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]], [1.0, 0.5], 0.5),  # beside a line
        ([[0.0, 0.0], [1.0, 1.0]], [1.0, 3.0], 2.0),  # beyond its end
        ([[0.0, 0.0], [1.0, 1.0], [0.1, 0.1]], [0.5, 0.5], 0.0),  # on it
        ([[0, 0, 1], [1, 0, 1], [0, 1, 1]], [0.2, 0.2, 3.0], 2.0),  # above a triangle in space
        ([[0.0, 0.0], [1.0, 1e-12]], [0.5, 1.0], 1.0),  # a line to rounding
        ([[0.3], [0.3]], [1.0], 0.7),  # no width in one dimension
    ],
)
def test_hull_barrier_of_degenerate_inputs(x, p, distance):
    value, grad = pull(HullBarrier(), at([[p]], [x]))
    assert value[0] == pytest.approx(distance**2, abs=1e-9)
    assert np.linalg.norm(grad) == pytest.approx(2 * distance, abs=1e-6)


def test_hull_barrier_keeps_runs_with_other_hulls_apart():
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, (4, 30, 2))
    x[1] = x[1, 0]  # no extent
    x[2, :, 1] = 0.5  # a line
    passed = at(rng.uniform(-2, 2, (4, 7, 2)), x)
    value, grad = pull(HullBarrier(), passed)
    for r in range(4):
        row = slice(r, r + 1)
        alone = pull(HullBarrier(), forward(take(passed.params, row), x[row], passed.y[row]))
        assert same_bits(alone[0], value[r : r + 1])
        assert same_bits(alone[1], grad[r : r + 1])


def test_hull_barrier_says_where_it_ends():
    with pytest.raises(ValueError, match="the inputs fill 6 dimensions; HullBarrier lists"):
        HullBarrier().value_and_grad(forward(*problem(1, 10, 6)))


def test_weight_decay_by_hand():
    params = RidgeParams(
        np.array([[[1.0, 2.0], [3.0, 0.0]]]), np.ones((1, 2)), np.array([[4.0, -1.0]]), np.ones(1)
    )
    value, partials = WeightDecay().value_and_grad(forward(params, np.ones((1, 3, 2)), [[0.0] * 3]))
    assert value[0] == (1 + 4 + 9 + 16 + 1) / 2
    np.testing.assert_array_equal(partials["hidden_weight"], params.hidden_weight)
    np.testing.assert_array_equal(partials["output_weight"], params.output_weight)
    assert set(partials) == {"hidden_weight", "output_weight"}


def test_extreme_places_stay_finite():
    x = np.random.default_rng(0).uniform(-1, 1, (1, 4, 2))
    for place in (np.full((1, 4, 2), 1e9), np.zeros((1, 4, 2)), x):
        for loss in LOSSES:
            value, partials = loss.value_and_grad(at(place, x))
            assert np.isfinite(value).all()
            assert all(np.isfinite(partial).all() for partial in partials.values())


def test_one_neuron_has_nobody_to_repel():
    value, grad = pull(LogRepulsion(), at([[[0.3]]], [[[0.0]]]))
    assert value == 0
    assert (grad == 0).all()


def test_pairs_at_a_distance_are_those_of_scipy():
    p = np.random.default_rng(2).uniform(-1, 1, (1, 9, 3))
    passed = at(p, np.zeros((1, 2, 3)))
    expected = -np.log(pdist(passed.prototypes[0]) ** 2 + 0.01).mean() / 2
    assert LogRepulsion(0.1).value_and_grad(passed)[0][0] == pytest.approx(expected, rel=1e-12)
