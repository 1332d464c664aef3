"""Pruning, quantisation and refitting of networks, each against a hand or a brute force."""

import itertools

import numpy as np
import pytest
from helpers import problem, same_bits, take

from mlpspec import RadialParams, RidgeParams, compress, forward
from mlpspec.errors import InputError
from mlpspec.metrics.measure import fit_mse
from mlpspec.metrics.prototypes import nearest, usage_ratio
from mlpspec.network.neurons import ridge
from mlpspec.study.run import Run

KINDS = pytest.mark.parametrize("neuron", ["ridge", "radial"])


def error(params, x, y):
    return fit_mse(forward(params, x, y))


def test_a_network_by_hand():
    """Prototypes at -1, 0, 3 and 0.4 with heights 1, -4, 2 and -0.5, inputs at -1.2 and 0.1."""
    at, height = np.array([[-1.0], [0.0], [3.0], [0.4]]), np.array([1.0, -4.0, 2.0, -0.5])
    params = RidgeParams.placed(at, np.full(4, 2.0), height)
    x = np.array([[[-1.2], [0.1]]])
    assert compress.serving(params, x).tolist() == [[True, True, False, False]]
    assert compress.highest(params, 2).tolist() == [[False, True, True, False]]
    left = compress.pruned(params, compress.highest(params, 3))
    assert left.output_weight.tolist() == [[1.0, -4.0, 2.0]]
    np.testing.assert_allclose(left.prototypes, at[None, :3])
    assert left.output_bias is params.output_bias
    # Without the third nothing changes; then the first is the cheapest, as it is worth 0.85 at -1.2
    # alone, the last 0.35 at 0.1, the second 0.96 of 4 there.
    y = forward(params, x, np.zeros((1, 2))).output
    assert compress.needed(params, x, y, 3).tolist() == [[True, True, False, True]]
    assert compress.needed(params, x, y, 2).tolist() == [[True, True, False, False]]
    assert compress.needed(params, x, y, 1).tolist() == [[False, True, False, False]]


@KINDS
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_pruned_networks_are_those_with_the_heights_of_the_others_at_zero(neuron, n_inputs):
    params, x, y = problem(3, 7, n_inputs, neuron=neuron)
    kept = compress.drawn(params, 4, [np.random.default_rng(r) for r in range(3)])
    assert kept.sum(axis=1).tolist() == [4, 4, 4]
    left = compress.pruned(params, kept)
    assert type(left) is type(params)
    silenced = {**vars(params), "output_weight": np.where(kept, params.output_weight, 0.0)}
    expected = forward(type(params)(**silenced), x, y)
    np.testing.assert_allclose(forward(left, x, y).output, expected.output, atol=1e-15)
    for row in range(3):  # as each run alone
        alone = compress.pruned(take(params, [row]), kept[[row]])
        assert same_bits(alone.flatten()[0], left.flatten()[row])


@KINDS
def test_neurons_that_serve_are_those_that_usage_counts(neuron):
    params, x, _ = problem(5, 9, 2, neuron=neuron)
    kept = compress.serving(params, x)
    np.testing.assert_array_equal(kept.sum(axis=1), np.rint(9 * usage_ratio(x, params.prototypes)))
    for row in range(5):
        one = take(params, [row])
        left = compress.pruned(one, kept[[row]])
        gaps = [nearest(x[[row]], net.prototypes)[0] for net in (one, left)]
        assert same_bits(*gaps)  # no input loses its nearest prototype
        assert compress.serving(left, x[[row]]).all()


def test_a_prototype_that_is_nowhere_serves_nothing():
    flat = np.array([[0.0, 1.0, 0.5, -0.5, 1.0, 1.0, 0.0]])  # w = 0 without an epsilon
    params = ridge(0.0).unflatten(flat, 1)
    with np.errstate(all="ignore"):
        assert compress.serving(params, np.zeros((1, 3, 1))).tolist() == [[False, True]]


@KINDS
def test_loss_of_fit_against_brute_force(neuron):
    """Each neuron that goes is the one without which the error is least."""
    params, x, y = problem(4, 6, neuron=neuron)
    for row in range(4):
        one, data = take(params, [row]), (x[[row]], y[[row]])
        left = set(range(6))
        for count in range(5, 0, -1):
            errors = {}
            for gone in left:
                kept = np.isin(np.arange(6), [*left - {gone}])[None]
                errors[gone] = error(compress.pruned(one, kept), *data)[0]
            left.remove(min(errors, key=errors.get))
            assert set(np.flatnonzero(compress.needed(one, *data, count)[0])) == left
    # Runs beside each other are as each alone.
    together = compress.needed(params, x, y, 3)
    for row in range(4):
        assert (compress.needed(take(params, [row]), x[[row]], y[[row]], 3) == together[row]).all()


def test_all_neurons_that_there_are_may_be_kept_and_no_more():
    params, x, y = problem(2, 5)
    streams = [np.random.default_rng(r) for r in range(2)]
    for kept in (compress.highest(params, 5), compress.needed(params, x, y, 5)):
        assert same_bits(compress.pruned(params, kept).flatten(), params.flatten())
    for count in (0, 6):
        for choose in (
            lambda n: compress.highest(params, n),
            lambda n: compress.needed(params, x, y, n),
            lambda n: compress.drawn(params, n, streams),
        ):
            with pytest.raises(InputError, match=f"count is {count}; it must be from 1 to K"):
                choose(count)
    ragged = np.array([[True] * 5, [True] * 4 + [False]])
    with pytest.raises(InputError, match="kept leaves 4 to 5 neurons a run; keep at least one"):
        compress.pruned(params, ragged)
    with pytest.raises(InputError, match="kept has shape"):
        compress.pruned(params, ragged[:, :3])


@KINDS
def test_refitted_networks_have_no_slope_left_in_heights_and_constant(neuron):
    params, x, y = problem(3, 9, n_hidden=4, neuron=neuron)
    again = compress.refitted(params, x, y)
    net = forward(again, x, y)
    assert (error(again, x, y) < error(params, x, y)).all()
    residual = net.output - y  # at right angles to all that may change
    np.testing.assert_allclose(np.einsum("rn,rnk->rk", residual, net.hidden), 0.0, atol=1e-9)
    np.testing.assert_allclose(residual.sum(axis=1), 0.0, atol=1e-9)
    rest = [name for name in vars(params) if not name.startswith("output")]
    assert all(same_bits(getattr(again, name), getattr(params, name)) for name in rest)
    # Of many perfect fits it is the nearest: what fits already stays.
    wide, x, y = problem(2, 4, n_hidden=9)
    fitted = compress.refitted(wide, x, y)
    np.testing.assert_allclose(error(fitted, x, y), 0.0, atol=1e-12)
    np.testing.assert_allclose(compress.refitted(fitted, x, y).flatten(), fitted.flatten())


@KINDS
@pytest.mark.parametrize("bits", [1, 2, 5, 16, 32])
def test_quantised_numbers_lie_on_a_grid_and_near_where_they_were(neuron, bits):
    params, _, _ = problem(3, 8, 2, neuron=neuron)
    found = compress.quantised(params, bits)
    for name, value in vars(params).items():
        new = getattr(found, name)
        for row in range(3):
            low, high = value[row].min(), value[row].max()
            bound = (high - low) / (2**bits - 1) / 2
            assert np.abs(new[row] - value[row]).max() <= bound * (1 + 1e-6)
            assert len(np.unique(new[row])) <= 2**bits
            assert (new[row].min(), new[row].max()) == (low, high)
    assert same_bits(found.output_bias, params.output_bias)  # one number is its own range
    assert same_bits(compress.quantised(found, bits).flatten(), found.flatten())
    for row in range(3):
        alone = compress.quantised(take(params, [row]), bits)
        assert same_bits(alone.flatten()[0], found.flatten()[row])


def test_many_bits_give_the_parameters_back_and_huge_ones_do_not_overflow():
    params, _, _ = problem(3, 8)
    widest = max(np.ptp(value, axis=1).max() for value in list(vars(params).values())[:-1])
    np.testing.assert_allclose(
        compress.quantised(params, 32).flatten(), params.flatten(), rtol=0, atol=widest / 2**32
    )
    huge = RadialParams(
        np.ones((1, 3)), np.zeros((1, 3, 1)), np.array([[-1.7e308, 0.2, 1.7e308]]), np.zeros(1)
    )
    assert compress.quantised(huge, 2).output_weight[0, [0, 2]].tolist() == [-1.7e308, 1.7e308]


def test_random_neurons_of_few_are_among_those_of_many():
    params, _, _ = problem(2, 8)
    chosen = [
        compress.drawn(params, count, [np.random.default_rng(r) for r in range(2)])
        for count in (2, 5, 8)
    ]
    for few, many in itertools.pairwise(chosen):
        assert (many >= few).all()
    assert (chosen[0][0] != chosen[0][1]).any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("quantise(0)", "quantise has bits=0; it must be at least 1 and at most 32"),
        ("quantise(33)", "quantise has bits=33; it must be at least 1 and at most 32"),
        ("prune_height(0)", "prune_height has keep=0; it must be above 0 and at most 1"),
        ("prune_fit(keep=-0.5)", "prune_fit has keep=-0.5; it must be above 0 and at most 1"),
        ("distil(keep=2)", "distil has keep=2; it must be above 0 and at most 1"),
        ("narrow(1.01)", "narrow has keep=1.01; it must be above 0 and at most 1"),
        ("prune_random(refit=2)", "prune_random has refit=2; it must be 0 or 1"),
        ("distil(more=-1)", "distil has more=-1; it must be at least 0 and at most 100"),
        ("prune_hieght", "unknown compress 'prune_hieght'; did you mean 'prune_height'?"),
        ("quantise(bits=2.5)", "'quantise(bits=2.5)' has bits=2.5; it must be a whole number"),
    ],
)
def test_bad_levels_are_one_line(given, said):
    with pytest.raises(InputError) as raised:
        Run(compress=given)
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p, x: compress.highest(p, 2.5), "count is 2.5; it must be a whole number"),
        (lambda p, x: compress.needed(p, x, x[..., 0], 2.0), "count is 2.0; it must be a whole"),
        (
            lambda p, x: compress.drawn(p, 2, [np.random.default_rng(0)]),
            r"streams has shape \(1,\)",
        ),
        (lambda p, x: compress.drawn(p, 2, np.random.default_rng(0)), r"streams has shape \(\)"),
        (lambda p, x: compress.pruned(p, np.tile(np.arange(5), (2, 1))), "kept is int"),
        (lambda p, x: compress.quantised(p, 1.5), "quantise has bits=1.5; it must be a whole"),
        (lambda p, x: compress.distil(more=2.5), "distil has more=2.5; it must be a whole"),
        (lambda p, x: compress.serving(p, x[:1]), r"x has shape \(1, 4, 1\); expected \(2, 4, 1\)"),
        (lambda p, x: compress.serving(p, x[0]), r"x has shape \(4, 1\); expected \(R, N, D\)"),
        (lambda p, x: compress.taught(p, [[1.0], [2.0, 3.0]]), "x is ragged"),
    ],
)
def test_functions_refuse_what_they_would_take_for_something_else(call, said):
    params, _, _ = problem(2, 5)
    with pytest.raises(InputError, match=said):
        call(params, np.zeros((2, 4, 1)))


def test_lists_do_as_arrays_do():
    params, x, _ = problem(2, 5)
    kept = compress.serving(params, x.tolist())
    assert (kept == compress.serving(params, x)).all()
    assert same_bits(compress.taught(params, x.tolist()), compress.taught(params, x))
    listed = compress.pruned(params, [[True, False] * 2 + [True]] * 2)
    assert listed.shape == (2, 3, 1)


def test_equal_descriptions_are_one_and_old_keys_hold():
    assert Run(compress="prune_height(keep=0.5)").compress == "prune_height"
    assert Run(compress="none").key == Run().key == "dc7bb7477c92cb54"
    assert Run(compress="quantise(bits=8)").key == Run(compress="quantise").key != Run().key
