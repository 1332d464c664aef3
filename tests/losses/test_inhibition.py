"""Inhibition: values by hand and by loops, which responses are selected, and its opposite."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from helpers import problem, same_bits, take

from mlpspec.errors import InputError, LossError
from mlpspec.losses import Inhibition, StructuralLoss, check_loss
from mlpspec.losses.inhibition import SILENT, most_monosemantic
from mlpspec.metrics import measure
from mlpspec.network.forward import Forward, forward
from mlpspec.network.neurons import NEURONS, RidgeParams


def responses(h):
    """A forward pass of which ``Inhibition`` reads nothing but these responses (R, N, K)."""
    h = np.asarray(h, dtype=float)
    n_runs, n_samples, n_hidden = h.shape
    params, x, y = problem(n_runs, n_samples, 1, n_hidden)
    net = Forward(params, x, y)
    vars(net)["hidden"] = h  # as if it had been computed
    return net


def by_loops(h, share, epsilon):
    """The loss, its derivative by h, and the selection, of one run, in plain Python."""
    n, k = len(h), len(h[0])
    mean = [sum(h[i][j] for i in range(n)) / n for j in range(k)]
    rest = [[h[i][j] - mean[j] for j in range(k)] for i in range(n)]
    variance = [sum(rest[i][j] ** 2 for i in range(n)) / (n - 1) for j in range(k)]
    score = {
        (i, j): rest[i][j] ** 2 / variance[j]
        for i in range(n)
        for j in range(k)
        if max(h[m][j] for m in range(n)) - min(h[m][j] for m in range(n)) > 1e-14
        and max(h[m][j] for m in range(n)) >= 0.01
    }
    order = sorted(score.values(), reverse=True)
    if not order:
        return 0.0, [[0.0] * k for _ in range(n)], set()
    count = min(max(1, round(share * n * k)), len(order))
    chosen = {at for at, value in score.items() if value > order[count - 1] * (1 - 1e-13)}
    value = sum(math.log(rest[i][j] ** 2 + epsilon) for i, j in chosen) / len(chosen)
    grad = [[0.0] * k for _ in range(n)]
    for i, j in chosen:
        by_rest = 2 * rest[i][j] / (rest[i][j] ** 2 + epsilon) / len(chosen)
        for m in range(n):  # d rest_ij / d h_mj
            grad[m][j] += by_rest * ((m == i) - 1 / n)
    return value, grad, chosen


def test_by_hand():
    # The neuron's mean is 0.3, its rests are 0.6, -0.2, -0.2, -0.2: one of four is selected.
    net = responses([[[0.9], [0.1], [0.1], [0.1]]])
    value, partials = Inhibition(epsilon=0.04).value_and_grad(net)
    assert value[0] == pytest.approx(math.log(0.36 + 0.04))
    np.testing.assert_allclose(
        partials["hidden"][0, :, 0], np.array([3.0, -1.0, -1.0, -1.0]) / 4 * (2 * 0.6 / 0.4)
    )
    assert {*partials} == {"hidden"}


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(("n", "k"), [(2, 3), (3, 3), (5, 4), (9, 7), (10, 10)])
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_values_and_derivatives_against_loops(share, n, k, neuron):
    net = forward(*problem(3, n, 1, k, neuron))
    value, partials = Inhibition(share, 1e-3).value_and_grad(net)
    for r in range(3):
        expected, grad, chosen = by_loops(net.hidden[r].tolist(), share, 1e-3)
        found = most_monosemantic(net.hidden, share)[r]
        assert {(int(i), int(j)) for i, j in np.argwhere(found)} == chosen
        assert value[r] == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(partials["hidden"][r], grad, rtol=1e-10, atol=1e-12)


def test_the_share_is_a_whole_number_of_responses_and_all_that_score_as_the_last():
    h = np.random.default_rng(0).uniform(0.1, 1.0, (4, 10, 30))
    for share, count in ((1e-9, 1), (0.02, 6), (0.29, 87), (1.0, 300)):
        assert (most_monosemantic(h, share).sum(axis=(1, 2)) == count).all()
    # Of neurons that answer one input each, however much, all score the same.
    alike = np.diag([1.0, 0.5, 0.25, 0.02])[None]
    assert (most_monosemantic(alike, 0.02)[0] == (alike[0] > 0)).all()
    assert most_monosemantic(h[:, :2], 0.02).all()  # of two inputs, all responses do
    assert (most_monosemantic(h.astype(np.float32), 0.02) == most_monosemantic(h, 0.02)).all()


def test_what_does_not_respond_is_never_selected():
    h = np.random.default_rng(1).uniform(0.1, 1.0, (3, 5, 4))
    h[0, :, 1:] = 0.7
    h[1] = 1e-148
    value, partials = Inhibition(share=1.0).value_and_grad(responses(h))
    chosen = most_monosemantic(h, 1.0)
    assert chosen[0, :, 0].all()
    assert not chosen[0, :, 1:].any()
    assert value[0] == pytest.approx(by_loops(h[0].tolist(), 1.0, 1e-4)[0])
    assert (partials["hidden"][0, :, 1:] == 0).all()
    assert value[1] == 0.0
    assert (partials["hidden"][1] == 0).all()
    assert chosen[2].all()
    assert not most_monosemantic(h[:, :1], 1.0).any()  # of a single input
    assert Inhibition().value_and_grad(responses(h[:, :1]))[0].tolist() == [0.0] * 3


def test_a_silent_neuron_has_no_score():
    assert Inhibition().floor == SILENT == measure.SILENT
    h = np.array([[[0.0, 0.1], [0.0, 0.2], [9e-3, 0.9], [0.0, 0.3]]])
    assert np.argwhere(most_monosemantic(h, 0.02)[0]).tolist() == [[2, 1]]
    assert np.argwhere(most_monosemantic(h, 0.02, 0.0)[0]).tolist() == [[2, 0]]
    value, partials = Inhibition().value_and_grad(responses(h))
    assert value[0] == pytest.approx(math.log(0.525**2 + 1e-4))
    assert (partials["hidden"][0, :, 0] == 0).all()
    value, _ = Inhibition(floor=0.0).value_and_grad(responses(h))
    assert value[0] == pytest.approx(math.log((0.75 * 9e-3) ** 2 + 1e-4))
    value, partials = Inhibition(1.0, floor=2.0).value_and_grad(responses(h))
    assert value[0] == 0
    assert (partials["hidden"] == 0).all()


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_the_order_of_inputs_and_neurons_says_nothing(share):
    rng = np.random.default_rng(2)
    h = np.concatenate([rng.uniform(0.0, 1.0, (2, 8, 6)), np.tile(np.eye(8)[:, :6], (2, 1, 1))])
    value, partials = Inhibition(share).value_and_grad(responses(h))
    rows, columns = rng.permutation(8), rng.permutation(6)
    other = h[:, rows][:, :, columns]
    again, moved = Inhibition(share).value_and_grad(responses(other))
    np.testing.assert_allclose(again, value, rtol=1e-13)
    expected = partials["hidden"][:, rows][:, :, columns]
    np.testing.assert_allclose(moved["hidden"], expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_promotion_is_the_negative(share):
    net = forward(*problem(3, 7))
    value, partials = Inhibition(share).value_and_grad(net)
    opposite, others = Inhibition(share, promote=True).value_and_grad(net)
    assert same_bits(opposite, -value)
    assert same_bits(others["hidden"], -partials["hidden"])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_hidden", [1, 7])
def test_no_neighbour_changes_a_bit(n_hidden, dtype):
    params, x, y = problem(4, 9, 1, n_hidden)
    params = RidgeParams(*(value.astype(dtype) for value in vars(params).values()))
    net = forward(params, x, y)
    value, partials = Inhibition(0.1).value_and_grad(net)
    assert value.dtype == partials["hidden"].dtype == dtype
    for r in range(4):
        row = slice(r, r + 1)
        alone = forward(take(params, row), x[row], y[row])
        one, others = Inhibition(0.1).value_and_grad(alone)
        assert same_bits(one, value[row])
        assert same_bits(others["hidden"], partials["hidden"][row])


def test_check_loss_sees_a_mean_that_is_not_differentiated():
    @dataclass(frozen=True)
    class Halfway(StructuralLoss):
        def value_and_grad(self, forward):
            value, _ = Inhibition(0.3).value_and_grad(forward)
            h, selected = forward.hidden, most_monosemantic(forward.hidden, 0.3)
            rest = np.where(selected, h - h.mean(axis=1, keepdims=True), 0.0)
            count = selected.sum(axis=(1, 2), keepdims=True)
            return value, {"hidden": 2 * rest / (rest**2 + 1e-4) / count}

    with pytest.raises(LossError, match="gradient with respect to"):
        check_loss(Halfway())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"share": 0.0}, "share is 0.0; it must be above 0 and at most 1"),
        ({"share": 1.5}, "share is 1.5; it must be above 0 and at most 1"),
        ({"share": math.nan}, "share is nan; it must be above 0 and at most 1"),
        ({"epsilon": 0.0}, "epsilon is 0.0; it must be finite and above 0"),
        ({"epsilon": math.inf}, "epsilon is inf; it must be finite and above 0"),
        ({"floor": -1e-9}, "floor is -1e-09; it must be finite and at least 0"),
        ({"promote": "no"}, "promote is 'no'; it must be True or False"),
    ],
)
def test_bad_values_get_one_line(fields, message):
    with pytest.raises(InputError, match=message) as caught:
        Inhibition(**fields)
    assert "\n" not in str(caught.value)
