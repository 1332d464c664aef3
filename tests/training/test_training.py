import numpy as np
import pytest
from helpers import objective, problem, same_bits, take

from mlpspec.losses.objective import Objective
from mlpspec.network.neurons import RidgeParams
from mlpspec.training.engine import ENGINES
from mlpspec.training.moments import moments
from mlpspec.training.optimizers import OPTIMIZERS, RULES, adam, gradient_descent
from mlpspec.training.trainer import train


@pytest.fixture(params=ENGINES)
def engine(request):
    """Each of the engines; both keep these laws."""
    return request.param


def test_adam_by_hand():
    rule, numbers, *_ = adam(0.1, beta1=0.5, beta2=0.75, epsilon=0.0)
    update = RULES[rule]
    step, m, s = update(2.0, 0.0, 0.0, 1.0, numbers)
    np.testing.assert_allclose(step, -0.1)  # m / 0.5 = 2, s / 0.25 = 4
    step, m, s = update(-1.0, m, s, 2.0, numbers)
    # m = 0.5 - 0.5 = 0; the step vanishes whatever s is.
    np.testing.assert_allclose(step, 0.0, atol=1e-17)
    step, m, s = update(1.0, m, s, 3.0, numbers)
    expected = 0.75 * (0.75 * 1.0 + 0.25) + 0.25
    assert (m, s) == (0.5, expected)
    np.testing.assert_allclose(step, -0.1 * (0.5 / 0.875) / np.sqrt(s / (1 - 0.75**3)))


def test_gradient_descent_by_hand():
    rule, numbers, *_ = gradient_descent(0.5)
    step, m, s = RULES[rule](np.array([[2.0, -4.0]]), 1.0, 2.0, 1.0, numbers)
    np.testing.assert_array_equal(step, [[-1.0, 2.0]])
    assert (m, s) == (1.0, 2.0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_lowers_the_objective(name, engine):
    params, x, y = problem(4, 6)
    full = objective(("coverage", "overlap"))
    trained = train(full, params, x, y, steps=200, engine=engine, optimizer=OPTIMIZERS[name](0.01))
    before = full.value_and_grad(params, x, y)[0]
    after, grad, _ = full.value_and_grad(trained.params, x, y)
    assert (after < before).all()
    np.testing.assert_allclose(trained.gradient_norm, np.linalg.norm(grad.flatten(), axis=1))
    assert (trained.steps == 200).all()
    assert not trained.diverged.any()


def test_no_steps_leave_the_start(engine):
    params, x, y = problem()
    trained = train(Objective(), params, x, y, steps=0, engine=engine)
    assert same_bits(trained.params.flatten(), params.flatten())


def test_diverged_run_stops_and_leaves_its_neighbours_alone(engine):
    params, x, y = problem(3, 5)
    wild = RidgeParams(*(value.copy() for value in vars(params).values()))
    wild.output_bias[1] = 1e90  # at this rate everything grows with each step
    options = {"steps": 12, "engine": engine, "optimizer": gradient_descent(1.5)}
    mixed = train(Objective(), wild, x, y, **options, record_every=5)
    tame = train(Objective(), params, x, y, **options)
    assert mixed.diverged.tolist() == [False, True, False]
    assert 0 < mixed.steps[1] < 12
    with np.errstate(all="ignore"):
        value, grad, _ = Objective().value_and_grad(mixed.params, x, y)
    assert np.isfinite(value).all()
    assert np.isfinite(grad.flatten()).all()
    for r in (0, 2):
        row = slice(r, r + 1)
        assert same_bits(take(mixed.params, row).flatten(), take(tame.params, row).flatten())
    assert mixed.curves[0].steps.tolist() == [0, 5, 10, 12]
    assert mixed.curves[1].steps.tolist() == list(range(0, mixed.steps[1] + 1, 5))


def test_start_that_is_not_finite_in_value_diverges_at_once(engine):
    params, x, y = problem(2, 3)
    params.output_weight[:] = 1e200
    trained = train(Objective(), params, x, y, steps=5, engine=engine)
    assert trained.diverged.all()
    assert (trained.steps == 0).all()
    assert same_bits(trained.params.flatten(), params.flatten())


def test_curves_record_what_training_does_and_do_not_change_it(engine):
    params, x, y = problem(2, 4)
    objectives = [Objective(), objective(("separation",))]
    plain = train(objectives, params, x, y, steps=25, engine=engine)
    recorded = train(objectives, params, x, y, steps=25, engine=engine, record_every=10)
    assert plain.curves == ()
    assert same_bits(plain.params.flatten(), recorded.params.flatten())
    first, second = recorded.curves
    assert first.steps.tolist() == [0, 10, 20, 25]
    assert set(first.values) == {"objective", "fit"}
    assert set(second.values) == {"objective", "fit", "separation"}
    assert first.params.prototypes.shape == (4, 4, 1)
    assert same_bits(first.params.flatten()[0], params.flatten()[0])
    assert same_bits(second.params.flatten()[-1], plain.params.flatten()[1])
    halfway = train(objectives, params, x, y, steps=10, engine=engine)
    assert same_bits(first.params.flatten()[1], halfway.params.flatten()[0])
    total, _, values = objectives[1].value_and_grad(halfway.params, x, y)
    assert second.values["objective"][1] == pytest.approx(total[1], rel=1e-14)
    assert second.values["separation"][1] == pytest.approx(values["separation"][1], rel=1e-14)


def test_curves_at_moments_that_are_log_spaced(engine):
    params, x, y = problem(2, 4)
    plain = train(Objective(), params, x, y, steps=100, engine=engine)
    recorded = train(Objective(), params, x, y, steps=100, engine=engine, record="log")
    assert same_bits(plain.params.flatten(), recorded.params.flatten())
    steps = recorded.curves[1].steps
    assert steps[0] == 0
    assert steps[-1] == 100
    apart = np.diff(np.log10(steps[steps >= 10]))
    assert (np.abs(apart - 1 / 14) < 0.05).all()
    assert same_bits(recorded.curves[1].params.flatten()[-1], plain.params.flatten()[1])
    with pytest.raises(ValueError, match="record"):
        train(Objective(), params, x, y, steps=1, record="lgo")


def test_moments():
    """About 46 for the steps of the paper; those of fewer steps are among those of more."""
    assert len(moments(3000, 0, "log")) == 45
    assert {*moments(3000, 0, "log")} - {3000} < {*moments(10000, 0, "log")}
    assert moments(0, 0, "log") == moments(0, 7) == [0]
    assert moments(1, 0, "log") == [0, 1]
    assert moments(9, 4, "log") == moments(9, 4) == [0, 4, 8, 9]


def test_single_precision_trains_in_single_precision(engine):
    params, x, y = problem(2, 5)
    single = RidgeParams(*(value.astype(np.float32) for value in vars(params).values()))
    trained = train(objective(("coverage", "separation", "overlap")), single, x, y, steps=20)
    double = train(objective(("coverage", "separation", "overlap")), params, x, y, steps=20)
    assert trained.params.flatten().dtype == np.float32
    np.testing.assert_allclose(
        trained.params.flatten(), double.params.flatten(), rtol=1e-2, atol=1e-3
    )


def test_bad_arguments_are_named():
    params, x, y = problem()
    with pytest.raises(ValueError, match="steps is -1; it must be at least 0"):
        train(Objective(), params, x, y, steps=-1)
    with pytest.raises(ValueError, match=r"steps is 2\.5; it must be a whole number"):
        train(Objective(), params, x, y, steps=2.5)
    with pytest.raises(ValueError, match="optimizer is 'adam'; expected one of"):
        train(Objective(), params, x, y, optimizer="adam")
    with pytest.raises(ValueError, match="engine is 'fast'; it must be"):
        train(Objective(), params, x, y, engine="fast")
    with pytest.raises(ValueError, match="objectives has 2 entries; expected one a run, 3"):
        train([Objective()] * 2, params, x, y)
    with pytest.raises(ValueError, match="y has NaN"):
        train(Objective(), params, x, y * np.nan)


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_a_gradient_of_single_precision_has_a_finite_norm(name):
    """Two neurons that cancel: what they give is 0, and its derivatives are large."""
    like = {"dtype": np.float32}
    start = RidgeParams(
        np.ones((1, 2, 1), **like),
        np.zeros((1, 2), **like),
        np.array([[1e18, -1e18]], **like),
        np.zeros(1, **like),
    )
    x, y = np.array([[[0.5], [1.0]]], **like), np.full((1, 2), 1e9, **like)
    trained = train(Objective(), start, x, y, steps=0, optimizer=OPTIMIZERS[name](0.01))
    _, grad, _ = Objective().value_and_grad(start, x, y)
    exact = np.sqrt(sum(float(each) ** 2 for each in grad.flatten()[0]))
    assert exact > 1e20
    assert trained.gradient_norm[0] == pytest.approx(exact)
