import numpy as np
import pytest
from helpers import central_difference, problem, same_bits, take

from mlpspec.arrays import exp_of_negated, squared_distances
from mlpspec.errors import InputError
from mlpspec.network.forward import Forward, backward, forward
from mlpspec.network.neurons import NEURONS, RadialParams, RidgeParams


def one_neuron(w=2.0, b=-1.0, v=3.0, c=0.5):
    return RidgeParams(np.array([[[w]]]), np.array([[b]]), np.array([[v]]), np.array([c]))


def test_hand_computed():
    passed = forward(one_neuron(), np.array([[[0.5], [1.0]]]), np.array([[0.0, 0.0]]))
    np.testing.assert_allclose(passed.preactivation[0, :, 0], [0.0, 1.0])
    np.testing.assert_allclose(passed.hidden[0, :, 0], [1.0, np.exp(-1)])
    np.testing.assert_allclose(passed.output[0], [3.5, 3 * np.exp(-1) + 0.5])
    np.testing.assert_allclose(passed.prototypes[0, 0, 0], 2 / (4 + 1e-8), rtol=1e-15)


def test_prototype_is_the_minimum_norm_point_of_full_response():
    params, x, y = problem(n_inputs=3)
    p = forward(params, x, y).prototypes
    z = np.einsum("rkd,rkd->rk", p, params.hidden_weight) + params.hidden_bias
    np.testing.assert_allclose(z, 0.0, atol=1e-8)
    # Any other point of the ridge is p plus something across w, and longer.
    cross = np.cross(params.hidden_weight, p + np.arange(1.0, 4.0))
    np.testing.assert_allclose(np.einsum("rkd,rkd->rk", p, cross), 0.0, atol=1e-12)


def test_radial_neurons_by_hand():
    params = RadialParams(
        np.array([[2.0, -1.0]]), np.array([[[0.0, 0.0], [1.0, 1.0]]]), np.ones((1, 2)), np.ones(1)
    )
    passed = forward(params, np.array([[[0.5, 0.0], [1.0, 1.0]]]), np.zeros((1, 2)))
    np.testing.assert_allclose(passed.preactivation[0], [[1.0, np.sqrt(1.25)], [8**0.5, 0.0]])
    h = np.exp([[-1.0, -1.25], [-8.0, 0.0]])
    np.testing.assert_allclose(passed.hidden[0], h)
    np.testing.assert_allclose(passed.output[0], h.sum(axis=1) + 1.0)
    np.testing.assert_array_equal(passed.prototypes, params.center)


def test_on_a_line_both_kinds_of_neuron_give_the_same_responses():
    ridge, x, y = problem(3, 8)
    radial = problem(3, 8, neuron="radial")[0]
    one, other = forward(ridge, x, y), forward(radial, x, y)
    for name in ("preactivation", "hidden", "output"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(one.prototypes, other.prototypes, rtol=1e-7)


def test_the_preactivation_of_radial_neurons_has_a_derivative_on_a_line_only():
    passed = forward(*problem(2, 4, neuron="radial"))
    weights = np.random.default_rng(0).normal(size=passed.preactivation.shape)
    exact = backward(passed, {"preactivation": weights}).flatten()

    def function(flat):
        moved = Forward(RadialParams.unflatten(flat, 1), passed.x, passed.y)
        return (weights * moved.preactivation).sum(axis=(1, 2))

    numeric = central_difference(function, passed.params.flatten())
    np.testing.assert_allclose(exact, numeric, rtol=1e-8, atol=1e-9)
    plane = forward(*problem(2, 4, 2, neuron="radial"))
    with pytest.raises(InputError, match="no derivative at their centers"):
        backward(plane, {"preactivation": np.zeros((2, 4, 4))})


@pytest.mark.parametrize("kind", NEURONS.values())
def test_flat_parameters_read_back(kind):
    flat = np.arange(2.0 * 13).reshape(2, 13)
    params = kind.unflatten(flat, 2)
    assert params.shape == (2, 3, 2)
    assert params.size == 13
    assert same_bits(params.flatten(), flat)
    with pytest.raises(InputError, match="flat has shape"):
        kind.unflatten(flat[:, :12], 2)


@pytest.mark.parametrize("kind", NEURONS.values())
@pytest.mark.parametrize("n_inputs", [1, 2, 3])
def test_neurons_are_where_they_are_placed_also_at_the_origin(kind, n_inputs):
    p = np.array([[0.0] * n_inputs, [0.5] * n_inputs])
    params = kind.placed(p, np.array([3.0, -2.0]), np.ones(2))
    np.testing.assert_allclose(params.prototypes[0], p, rtol=1e-8)
    np.testing.assert_allclose(params.slopes[0], [3.0, 2.0])


def test_vanished_neuron_has_its_prototype_at_the_origin():
    assert one_neuron(w=0.0, b=1.0).prototypes[0, 0, 0] == 0.0
    assert abs(one_neuron(w=1e-6, b=1.0).prototypes[0, 0, 0]) == pytest.approx(100, rel=1e-3)


def test_what_a_pass_holds_cannot_be_changed():
    passed = forward(*problem())
    for name in ("preactivation", "hidden", "output", "prototypes"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(passed, name)[...] = 0.0
    for name in ("hidden", "response"):
        with pytest.raises(AttributeError):
            setattr(passed, name, None)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("rows", [slice(1, 3), np.array([2, 0]), slice(3, 4)])
def test_part_of_a_batch_has_the_bits_of_the_whole(rows, neuron):
    params, x, y = problem(n_runs=4, n_samples=7, n_inputs=2, neuron=neuron)
    whole = forward(params, x, y)
    alone = forward(take(params, rows), x[rows], y[rows])
    names = ("preactivation", "hidden", "response", "squared_response", "output", "prototypes")
    for name in names:
        assert same_bits(getattr(whole, name)[rows], getattr(alone, name))


def test_permuting_neurons_changes_nothing_but_their_order():
    params, x, y = problem(n_samples=6)
    order = np.random.default_rng(0).permutation(6)
    permuted = RidgeParams(
        params.hidden_weight[:, order],
        params.hidden_bias[:, order],
        params.output_weight[:, order],
        params.output_bias,
    )
    a, b = forward(params, x, y), forward(permuted, x, y)
    np.testing.assert_allclose(a.output, b.output, rtol=1e-13, atol=1e-15)
    assert same_bits(a.prototypes[:, order], b.prototypes)


@pytest.mark.parametrize("n_inputs", [1, 2, 3])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 6), (4, 1)])
def test_flatten_and_back(n_inputs, shape):
    params, _, _ = problem(n_samples=shape[0], n_inputs=n_inputs, n_hidden=shape[1])
    flat = params.flatten()
    assert flat.shape[1] == params.size
    again = RidgeParams.unflatten(flat, n_inputs)
    for name, value in vars(params).items():
        assert same_bits(getattr(again, name), value)


@pytest.mark.parametrize("n_inputs", [1, 2, 3])
@pytest.mark.parametrize(
    "quantity",
    [
        *("output", "response", "squared_response", "hidden", "preactivation", "prototypes"),
        *("hidden_weight", "output_bias"),
    ],
)
def test_chain_rule_against_finite_differences(quantity, n_inputs):
    params, x, y = problem(n_inputs=n_inputs)
    rng = np.random.default_rng(1)

    def read(params):
        passed = Forward(params, x, y)
        return getattr(passed if hasattr(passed, quantity) else params, quantity)

    direction = rng.normal(size=read(params).shape)

    def function(flat):
        value = read(RidgeParams.unflatten(flat, n_inputs))
        return (direction * value).reshape(len(x), -1).sum(axis=1)

    exact = backward(forward(params, x, y), {quantity: direction}).flatten()
    numeric = central_difference(function, params.flatten())
    np.testing.assert_allclose(exact, numeric, rtol=1e-8, atol=1e-9 * np.abs(exact).max())


def test_gradient_holds_at_slopes_of_1e4():
    params, x, y = problem(n_runs=1, n_samples=3)
    # One neuron so steep that only its own input, 1e-5 from its ridge, is answered.
    w, b = params.hidden_weight.copy(), params.hidden_bias.copy()
    w[0, 0], b[0, 0] = 1e4, -1e4 * (x[0, 0, 0] + 1e-5)
    params = RidgeParams(w, b, params.output_weight, params.output_bias)
    partial = {"output": np.array([[1.0, 0.5, -2.0]])}
    exact = backward(forward(params, x, y), partial).hidden_weight[0, 0, 0]

    def value(slope):
        z = np.longdouble(slope) * np.longdouble(x[0, 0, 0]) + np.longdouble(b[0, 0])
        return np.longdouble(params.output_weight[0, 0]) * np.exp(-z * z)

    step = np.longdouble(1e-4)
    numeric = (value(1e4 + step) - value(1e4 - step)) / (2 * step)
    assert exact == pytest.approx(float(numeric), rel=1e-7)


def test_exponential_is_exact_and_cut():
    exponent = np.array([0.0, 1.0, 339.0, 341.0, 1e300])
    expected = np.exp(-np.minimum(exponent, 340.0))
    assert same_bits(exp_of_negated(exponent.copy()), expected)
    single = exp_of_negated(np.array([0.0, 1e30], dtype=np.float32))
    assert single.dtype == np.float32
    assert single[1] == np.exp(np.float32(-43.0))
    for least in (expected[-1], single[1]):  # what is small twice is not denormal yet
        assert least**2 > np.finfo(least.dtype).tiny


@pytest.mark.parametrize("n_inputs", [1, 2, 5])
def test_squared_distances_are_those_of_scipy(n_inputs):
    from scipy.spatial.distance import cdist

    _, x, _ = problem(3, 6, n_inputs)
    p = x[:, :4] + 0.5
    expected = [cdist(*run, "sqeuclidean") for run in zip(x, p, strict=True)]
    np.testing.assert_allclose(squared_distances(x, p), expected, rtol=1e-14)


def test_single_precision_stays_single():
    params, x, y = problem()
    single = RidgeParams(*(value.astype(np.float32) for value in vars(params).values()))
    passed = forward(single, x, y)
    assert passed.output.dtype == np.float32
    assert passed.prototypes.dtype == np.float32
    np.testing.assert_allclose(passed.output, forward(params, x, y).output, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((3, 5))}, r"x has shape \(3, 5\); expected \(R, N, D\)"),
        ({"x": np.zeros((3, 5, 2))}, r"x has shape \(3, 5, 2\); expected \(3, 5, 1\)"),
        ({"x": np.zeros((2, 5, 1))}, r"x has shape \(2, 5, 1\); expected \(3, 5, 1\)"),
        ({"y": np.zeros((3, 4))}, r"y has shape \(3, 4\); expected \(3, 5\)"),
        ({"x": np.zeros((3, 0, 1))}, "expected at least one run, sample, input and hidden unit"),
        ({"x": "data"}, "x is <U4; expected an array of real numbers"),
        ({"x": np.zeros((3, 5, 1), complex)}, "x is complex128; expected an array of real"),
        ({"y": [[1.0], [1.0, 2.0]]}, "y is ragged"),
        ({"y": np.full((3, 5), np.nan)}, "y has NaN or infinite entries"),
        ({"x": np.full((3, 5, 1), np.inf)}, "x has NaN or infinite entries"),
    ],
)
def test_bad_data_is_named(change, message):
    params, x, y = problem()
    with pytest.raises(ValueError, match=message):
        forward(params, **{"x": x, "y": y, **change})


def test_bad_params_are_named():
    params, x, y = problem()
    fields = vars(params)
    with pytest.raises(ValueError, match=r"hidden_weight has shape .*expected \(R, K, D\)"):
        RidgeParams(**{**fields, "hidden_weight": np.zeros((3, 5))})
    with pytest.raises(ValueError, match=r"output_bias has shape \(2,\); expected \(3,\)"):
        RidgeParams(**{**fields, "output_bias": np.zeros(2)})
    with pytest.raises(ValueError, match="hidden_bias is a list; expected an array"):
        RidgeParams(**{**fields, "hidden_bias": [1.0]})
    with pytest.raises(ValueError, match="output_weight has NaN"):
        forward(RidgeParams(**{**fields, "output_weight": np.full((3, 5), np.nan)}), x, y)
    with pytest.raises(ValueError, match="hidden_bias is int64; expected all float64"):
        forward(RidgeParams(**{**fields, "hidden_bias": np.zeros((3, 5), int)}), x, y)


def test_bad_partials_are_named():
    passed = forward(*problem())
    with pytest.raises(InputError, match="no derivative is known for 'hiden'; known: output"):
        backward(passed, {"hiden": np.zeros(3)})
    with pytest.raises(InputError, match=r"partial of hidden has shape \(3,\)"):
        backward(passed, {"hidden": np.zeros(3)})


def test_whole_numbers_are_cast():
    params, _, _ = problem(n_runs=1, n_samples=2)
    passed = forward(params, np.array([[[0], [1]]]), np.array([[0, 1]]))
    assert passed.x.dtype == np.float64


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_forward_pass_computes_what_is_read_of_it_alone(neuron):
    net = forward(*problem(2, 4, 2, 3, neuron))
    assert {*vars(net)} == {"params", "x", "y"}
    backward(net, {"prototypes": np.ones_like(net.prototypes)})
    assert {*vars(net)} == {"params", "x", "y", "prototypes"}
    backward(net, {"output": net.y})
    assert {*vars(net)} == {"params", "x", "y", "prototypes", "preactivation", "hidden"}
    for name in ("prototypes", "preactivation", "hidden", "output"):
        assert not getattr(net, name).flags.writeable


@pytest.mark.parametrize("neuron", NEURONS)
def test_some_neurons_of_all_runs_or_others_of_each(neuron):
    params, _, _ = problem(2, 4, 2, 5, neuron)
    for which in ([3, 0, 0], [[3, 0, 0], [1, 2, 4]]):
        some, of_run = params.neurons(which), np.broadcast_to(which, (2, 3))
        for run, chosen in enumerate(of_run):
            assert same_bits(some.prototypes[run], params.prototypes[run, chosen])
            assert same_bits(some.slopes[run], params.slopes[run, chosen])
            assert same_bits(some.output_weight[run], params.output_weight[run, chosen])
        assert same_bits(some.output_bias, params.output_bias)
