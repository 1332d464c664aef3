"""The score of monosemanticity, as losses and training use it."""

from fractions import Fraction

import numpy as np
import pytest

from mlpspec.losses.scores import responding, scores


def by_hand(column):
    """Return the scores of one neuron, without any rounding until the end."""
    values = [Fraction(value) for value in column]
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return [float((value - mean) ** 2 / variance) for value in values]


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e8])
def test_scores_are_those_of_exact_arithmetic(offset):
    h = np.random.default_rng(3).normal(size=(2, 30, 4)) + offset
    found = scores(h)
    assert found.shape == h.shape
    for run, networks in enumerate(h):
        for k, column in enumerate(networks.T.tolist()):
            np.testing.assert_allclose(found[run, :, k], by_hand(column), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.mean(axis=1), 29 / 30, rtol=1e-13)


def test_the_bound_is_reached_where_one_input_is_answered():
    h = np.zeros((6, 2))
    h[4, 0], h[1, 1] = 1e-3, -7.0
    expected = np.full((6, 2), 1 / 6)
    expected[4, 0] = expected[1, 1] = 25 / 6  # (N - 1)^2 / N
    np.testing.assert_allclose(scores(h), expected, rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_neuron_that_does_not_respond_has_no_score(dtype):
    precision = np.finfo(dtype)
    h = np.ones((5, 4), dtype)
    h[0, 0] += 8 * precision.eps  # rounding
    h[0, 1] += 64 * precision.eps
    h[:, 2] = precision.tiny * np.arange(5)  # its squares are zero
    h[:, 3] = 0.0
    found = scores(h)
    assert found.dtype == dtype
    assert np.isfinite(found[:, 1]).all()
    assert np.isnan(found[:, [0, 2, 3]]).all()
    assert responding(h.min(axis=0), h.max(axis=0)).tolist() == [False, True, False, False]


def test_a_run_has_the_same_scores_alone_and_in_any_batch():
    h = np.random.default_rng(4).random((5, 13, 7))
    np.testing.assert_array_equal(scores(h)[3], scores(h[3:4])[0])
    np.testing.assert_array_equal(scores(h)[3], scores(h[3]))
