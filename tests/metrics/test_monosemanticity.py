"""The score of monosemanticity: of anyone's activations, online, and as runs are measured by it."""

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from helpers import problem

import mlpspec
from mlpspec import RunningMonosemanticity, monosemanticity
from mlpspec.losses import built_in
from mlpspec.metrics.measure import SILENT, Responses, measure, measure_responses
from mlpspec.metrics.monosemanticity import GRUBBS, bound, false_killing_rate, threshold

RNG = np.random.default_rng(18)


def by_hand(column):
    """The scores of one neuron, with nothing rounded until the end."""
    values = [Fraction(value) for value in column]
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return [float((value - mean) ** 2 / variance) for value in values]


def seen(h):
    running = RunningMonosemanticity()
    running.update(h)
    return running


def test_scores_by_hand():
    # 0, 0, 0, 5: mean 5/4, S^2 = 25/4. 1, 2, 3, 4: mean 5/2, S^2 = 5/3.
    h = [[0, 1], [0, 2], [0, 3], [5, 4]]
    expected = [[1 / 4, 27 / 20], [1 / 4, 3 / 20], [1 / 4, 3 / 20], [9 / 4, 27 / 20]]
    np.testing.assert_allclose(monosemanticity(h), expected, rtol=1e-15)
    np.testing.assert_allclose(seen(h).score(h), expected, rtol=1e-15)
    assert monosemanticity(h)[3, 0] == bound(4) == 9 / 4


@pytest.mark.parametrize(
    "values",
    [
        RNG.normal(size=(40, 3)),
        RNG.normal(size=(40, 3)) + 1e8,
        RNG.normal(size=(40, 3)) * 1e140,
        RNG.normal(size=(40, 3)) * 1e-140,
        RNG.normal(size=(40, 3)).astype(np.float32),
        RNG.normal(size=(40, 3)).astype(np.float16),
        RNG.integers(-5, 5, (40, 3)),
        RNG.random((40, 3)) < 0.1,
    ],
)
def test_scores_are_those_of_exact_arithmetic(values):
    expected = np.transpose([by_hand(column) for column in values.T.astype(float).tolist()])
    close = {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(monosemanticity(values), expected, **close)
    both = np.stack([values, values[::-1]])
    np.testing.assert_allclose(monosemanticity(both), [expected, expected[::-1]], **close)
    np.testing.assert_allclose(monosemanticity(values).mean(axis=0), 39 / 40, rtol=1e-13)
    running = seen(values[:7])
    for row in values[7:]:
        running.update(row)
    np.testing.assert_allclose(running.score(values), expected, **close)


def test_the_order_of_inputs_only_orders_scores():
    h, order = RNG.normal(size=(50, 4)) + 1e3, RNG.permutation(50)
    expected = monosemanticity(h)[order]
    np.testing.assert_allclose(monosemanticity(h[order]), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(seen(h[order]).score(h), monosemanticity(h), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("seed", range(20))
def test_any_splits_and_any_tree_of_merges_give_the_same(seed):
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(60, 3)) * [1.0, 1e-3, 1e5] + [1e8, 0.0, -1e3]
    h[rng.integers(60)] += [1e8, 7.0, 0.0]  # an outlier, anywhere
    cuts = np.sort(rng.choice(61, 8))  # with empty parts
    parts = [RunningMonosemanticity() for _ in range(9)]
    for part, rows in zip(parts, np.split(h, cuts), strict=True):
        for some in np.split(rows, np.sort(rng.choice(len(rows) + 1, 2))):
            if len(some):
                part.update(some[0] if len(some) == 1 else some)
    while len(parts) > 1:
        one, other = (parts.pop(rng.integers(len(parts))) for _ in range(2))
        one.merge(other)
        parts.append(one)
    (whole,) = parts
    assert whole.count == 60
    np.testing.assert_allclose(whole.score(h), monosemanticity(h), rtol=1e-12, atol=1e-12)
    exact = [[Fraction(value) for value in column] for column in h.T.tolist()]
    variance = np.array([float(statistics.variance(column)) for column in exact])
    np.testing.assert_allclose(whole.variance, variance, rtol=1e-13)
    off = np.abs(whole.mean - [float(statistics.mean(column)) for column in exact])
    assert (off <= 2 * np.spacing(np.abs(whole.mean)) + 1e-15 * np.sqrt(variance)).all()


def test_a_million_inputs_far_from_zero():
    """Whole numbers k at h = 1e8 + k / 2^17 are exact, and so are the sums that are expected."""
    n = 10**6
    k = np.rint(RNG.normal(size=n) * 2**17).astype(np.int64)
    h = (1e8 + k / 2**17)[:, None]
    total, squares = int(k.sum()), int((k * k).sum())
    spread = n * squares - total**2
    expected = np.square((n * k - total).astype(float)) * ((n - 1) / (n * spread))

    def agrees(phi):
        assert (np.abs(phi[:, 0] - expected) <= 1e-12 * np.maximum(1.0, expected)).all()

    agrees(monosemanticity(h))
    order = np.argsort(k)  # parts whose means are far apart
    halves = []
    for rows in np.split(order, [n // 3]):
        running = RunningMonosemanticity()
        for some in np.array_split(rows, 500):
            running.update(h[some])
        halves.append(running)
    one, other = halves
    one.merge(other)
    agrees(one.score(h))
    assert one.count == n
    assert abs(one.mean[0] - float(10**8 + Fraction(total, n * 2**17))) <= math.ulp(1e8)
    assert one.variance[0] == pytest.approx(float(Fraction(spread, n * (n - 1) * 2**34)), rel=1e-13)


def test_inputs_one_by_one_from_an_outlier_on():
    h = np.concatenate([[[0.0]], RNG.normal(size=(3000, 1)) + 1e8])
    running = RunningMonosemanticity()
    for row in h:
        running.update(row)
    np.testing.assert_allclose(running.score(h)[:, 0], by_hand(h[:, 0].tolist()), rtol=1e-12)


def test_what_does_not_respond_has_no_score():
    h = np.full((5, 4), 0.1)
    h[0, 1] += 1e-17  # nothing
    h[0, 2] = 0.1 + 0.2 - 0.2  # rounding
    h[2, 3] = 0.1 + 1e-12
    assert h[0, 2] != 0.1
    for phi in (monosemanticity(h), seen(h).score(h)):
        assert np.isnan(phi[:, :3]).all()
        assert phi[2, 3] == pytest.approx(bound(5), rel=1e-3)
    narrow = np.array([[0.1], [0.1 + 1e-8], [0.1]], np.float32)  # the last digit of that precision
    assert narrow[0] != narrow[1]
    assert np.isnan(monosemanticity(narrow)).all()
    assert np.isnan(seen(narrow).score(narrow)).all()
    assert np.isfinite(monosemanticity(narrow.astype(float))).all()
    first = seen(h[0])
    assert np.isnan(first.score(h)).all()
    assert np.isnan(first.variance).all()
    np.testing.assert_array_equal(first.mean, h[0])


def test_merging_leaves_the_other_as_it_was():
    one, other, none = seen(RNG.random((4, 2))), seen(RNG.random((3, 2))), RunningMonosemanticity()
    before = other.mean, other.variance
    none.merge(other)
    one.merge(other)
    one.merge(RunningMonosemanticity())
    assert (one.count, other.count, none.count) == (7, 3, 3)
    none.update([5.0, 5.0])
    np.testing.assert_array_equal((other.mean, other.variance), before)
    twice = seen([[0.0], [1.0]])
    twice.merge(twice)
    assert twice.count == 4
    np.testing.assert_allclose(twice.variance, 1 / 3)


@pytest.mark.parametrize(
    ("h", "message"),
    [
        ([1.0, 2.0], r"h has shape \(2,\); expected activations \(N, K\) of N inputs"),
        (np.zeros((2, 2, 2, 2)), r"h has shape \(2, 2, 2, 2\); expected"),
        (np.zeros((0, 3)), r"h has shape \(0, 3\); expected"),
        (np.zeros((3, 0)), r"h has shape \(3, 0\); expected"),
        ([[1.0, 2.0]], r"h has shape \(1, 2\): one input; a score needs at least two"),
        ([[1.0], [np.nan]], r"h\[1, 0\] is nan; expected finite numbers of at most 1e\+150"),
        ([[-np.inf], [0.0]], r"h\[0, 0\] is -inf; expected finite"),
        ([[0.0], [-1e200]], r"h\[1, 0\] is -1e\+200; .* \(divide all of them by one number"),
        ([["a"], ["b"]], "h is <U1; expected an array of real numbers"),
        ([[1.0], [2.0, 3.0]], "h is ragged"),
        (np.ma.array(np.eye(2), mask=np.eye(2)), "h has masked entries; leave them out, or fill"),
        ([[1j], [2.0]], "h is complex128; expected an array of real numbers"),
    ],
)
def test_bad_activations_get_one_clear_line(h, message):
    with pytest.raises(mlpspec.InputError, match=message) as raised:
        monosemanticity(h)
    assert "\n" not in str(raised.value)


def test_bad_streams_get_one_clear_line():
    running = RunningMonosemanticity()
    for ask in (lambda: running.mean, lambda: running.variance, lambda: running.score([1.0])):
        with pytest.raises(mlpspec.InputError, match="no input was seen yet"):
            ask()
    with pytest.raises(mlpspec.InputError, match=r"h has shape \(0, 3\); expected .* \(K,\)"):
        running.update(np.zeros((0, 3)))
    running.update([1.0, 2.0, 3.0])
    with pytest.raises(mlpspec.InputError, match=r"h has shape \(2,\); expected 3 neurons"):
        running.update([1.0, 2.0])
    with pytest.raises(mlpspec.InputError, match=r"h\[0, 1\] is nan"):
        running.update([[1.0, np.nan, 1.0]])
    with pytest.raises(mlpspec.InputError, match="other has seen 1 neurons; expected 3, as here"):
        running.merge(seen([1.0]))
    with pytest.raises(mlpspec.InputError, match="other is a list; expected a Running"):
        running.merge([1.0])
    assert repr(running) == "<RunningMonosemanticity: 1 inputs of 3 neurons>"


def test_the_table_of_grubbs_is_what_student_says():
    from scipy.special import stdtrit

    for place, critical in enumerate(GRUBBS):
        n = place + 3
        quantile = stdtrit(n - 2, 1 - 0.05 / (2 * n))
        exact = (n - 1) / np.sqrt(n) * np.sqrt(quantile**2 / (n - 2 + quantile**2))
        assert critical == pytest.approx(exact, abs=5.1e-6)
        assert critical**2 > bound(n) / 2
    n = 3 + len(GRUBBS)
    assert threshold(n) == bound(n) / 2
    quantile = stdtrit(n - 2, 1 - 0.05 / (2 * n))
    assert quantile**2 / (n - 2 + quantile**2) < 1 / 2  # chance stays below the half from here on
    assert np.isnan([threshold(1), threshold(2)]).all()


@pytest.mark.parametrize("n", [3, 5, 8, 14])
def test_chance_exceeds_the_threshold_as_often_as_it_says(n):
    h = np.random.default_rng(n).normal(size=(n, 20_000))
    share = (monosemanticity(h).max(axis=0) > threshold(n)).mean()
    assert share == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 20_000))


@pytest.mark.parametrize("n", [3, 10, 15, 200])
def test_no_response_is_monosemantic_that_two_inputs_share(n):
    h = np.zeros((n, n - 1))
    for m in range(1, n):
        h[:m, m - 1] = 1.0  # answers m inputs
    largest = Responses(h[None]).largest[0]
    np.testing.assert_allclose(
        largest[: n // 2], [(n - m) / (m * (n - 1)) for m in range(1, n // 2 + 1)]
    )
    assert largest[0] * bound(n) > threshold(n)
    assert (largest[1 : n // 2] * bound(n) < threshold(n)).all()
    shared = np.random.default_rng(n).standard_cauchy((n, 500))
    shared[1] = shared[0] = np.abs(shared).sum(axis=0)
    assert (monosemanticity(shared)[:2] < bound(n) / 2).all()


def bumps(n_runs, n_inputs, n_hidden):
    """Responses of all kinds: wide, narrow, silent, equal, and one run that is not finite."""
    rng = np.random.default_rng(n_inputs)
    x, centre = rng.random((n_runs, n_inputs, 1)), rng.random((n_runs, 1, n_hidden))
    h = np.exp(-np.square((x - centre) * 10 ** rng.uniform(-1, 3, (n_runs, 1, n_hidden))))
    h[0, :, 0] = 0.5
    h[0, :, 1] *= SILENT / 2
    h[1] *= SILENT / 2
    h[2, 1, 0] = np.nan
    return h


def plainly(h):
    """The measurements of one run (N, K), neuron by neuron and input by input."""
    n_inputs = len(h)
    columns = [column for column in h.T.tolist() if not any(map(math.isnan, column))]
    columns = [column for column in columns if max(column) >= SILENT and len({*column}) > 1]
    phis = [by_hand(column) for column in columns]
    largest = sorted(max(phi) / ((n_inputs - 1) ** 2 / n_inputs) for phi in phis)

    def quantile(share):
        if not largest:
            return math.nan
        place = share * (len(largest) - 1)
        low = math.floor(place)
        high = min(low + 1, len(largest) - 1)
        return largest[low] + (place - low) * (largest[high] - largest[low])

    limit = threshold(n_inputs)
    inhibited = wrong = 0
    for column, phi in zip(columns, phis, strict=True):
        for n in range(3, n_inputs + 1):
            so_far = column[:n]
            if len({*so_far}) > 1 and by_hand(so_far)[-1] > threshold(n):
                inhibited += 1
                wrong += phi[n - 1] <= limit
    return {
        "monosemanticity_median": quantile(0.5),
        "monosemanticity_q90": quantile(0.9),
        "monosemantic_fraction": sum(max(phi) > limit for phi in phis) / h.shape[1],
        "false_killing_rate": wrong / inhibited if inhibited else math.nan,
    }


@pytest.mark.parametrize(("n_inputs", "n_hidden"), [(3, 5), (6, 4), (20, 7), (40, 1)])
def test_measurements_by_plain_loops(n_inputs, n_hidden):
    h = bumps(6, n_inputs, max(n_hidden, 2))[..., :n_hidden]
    found = measure_responses(h)
    for run, expected in enumerate(map(plainly, h)):
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][run], value, rtol=1e-10, err_msg=name)
    assert np.isnan(found["monosemanticity_median"][1])  # all of its neurons are silent
    assert found["monosemantic_fraction"][1] == 0.0


def test_false_killing_by_hand():
    # In order, the third input stands out from two that are alike, and the fifth too; in the end
    # neither does. With the fifth not answered, the third does.
    h = np.array([[0, 0, 1, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1.0]])
    np.testing.assert_array_equal(false_killing_rate(h[:, :, None]), [1.0, 0.0, np.nan])
    both = np.moveaxis(h[:2], 0, 1)[None]
    np.testing.assert_array_equal(false_killing_rate(both), [1 / 2])


@pytest.mark.parametrize("n_samples", [1, 2])
def test_two_inputs_tell_nothing(n_samples):
    params, x, y = problem(3, n_samples, n_hidden=4)
    found = measure(params, x, y, width=2.0, losses=built_in(0.1))
    for name in plainly(np.ones((3, 1))):
        assert np.isnan(found[name]).all(), name
    assert np.isfinite(found["silent_fraction"]).all()


def test_a_run_is_measured_by_its_responses():
    params, x, y = problem(4, 12)
    found = measure(params, x, y, width=2.0, losses={})
    hidden = mlpspec.forward(params, x, y).hidden
    for name, values in measure_responses(hidden).items():
        np.testing.assert_array_equal(found[name], values)
    assert [*measure_responses(hidden)] == [*found][-4:]


@pytest.mark.slow
def test_activations_of_a_network_of_scikit_learn():
    from sklearn.neural_network import MLPRegressor

    x = np.linspace(-1, 1, 60)[:, None]
    network = MLPRegressor(hidden_layer_sizes=(20,), learning_rate_init=0.01, random_state=0)
    for _ in range(300):
        network.partial_fit(x, np.sin(np.pi * x[:, 0]))
    h = np.maximum(x @ network.coefs_[0] + network.intercepts_[0], 0.0)
    np.testing.assert_allclose(
        (h @ network.coefs_[1] + network.intercepts_[1])[:, 0], network.predict(x)
    )
    h[:, 7] = 0.0  # a dead neuron, if there is none
    phi = monosemanticity(h)
    dead = np.ptp(h, axis=0) == 0.0
    assert dead[7]
    np.testing.assert_array_equal(np.isnan(phi).all(axis=0), dead)
    for k in np.flatnonzero(~dead):
        np.testing.assert_allclose(phi[:, k], by_hand(h[:, k].tolist()), rtol=1e-11, atol=1e-13)
    running = RunningMonosemanticity()
    for batch in np.split(h, 6):
        running.update(batch)
    np.testing.assert_allclose(running.score(h), phi, rtol=1e-11, atol=1e-13)
