import numpy as np
import pytest
from helpers import SUBSETS, objective, problem, same_bits

from mlpspec.losses.objective import Objective
from mlpspec.network.model import NEURONS, RidgeParams, forward
from mlpspec.training.optimizers import OPTIMIZERS, State, adam, gradient_descent
from mlpspec.training.trainer import train


def test_adam_by_hand():
    init, update = adam(0.1, beta1=0.5, beta2=0.75, epsilon=0.0)
    state = init(np.zeros((1, 1)))
    step, state = update(np.array([[2.0]]), state)
    np.testing.assert_allclose(step, -0.1)  # m = 1 / 0.5 = 2, s = 1 / 0.25 = 4
    step, state = update(np.array([[-1.0]]), state)
    # m = 0.5 - 0.5 = 0; the step vanishes whatever s is.
    np.testing.assert_allclose(step, 0.0, atol=1e-17)
    step, state = update(np.array([[1.0]]), state)
    s = 0.75 * (0.75 * 1.0 + 0.25) + 0.25
    np.testing.assert_allclose(step, -0.1 * (0.5 / 0.875) / np.sqrt(s / (1 - 0.75**3)))
    assert state.step == 3


def test_gradient_descent_by_hand():
    init, update = gradient_descent(0.5)
    step, state = update(np.array([[2.0, -4.0]]), init(np.zeros((1, 2))))
    np.testing.assert_array_equal(step, [[-1.0, 2.0]])
    assert state == State(1, ())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_lowers_the_objective(name):
    params, x, y = problem(4, 6)
    full = objective(("coverage", "overlap"))
    trained = train(full, params, x, y, steps=200, optimizer=OPTIMIZERS[name](0.01))
    before = full.value_and_grad(params, x, y)[0]
    after, grad, _ = full.value_and_grad(trained.params, x, y)
    assert (after < before).all()
    np.testing.assert_allclose(trained.gradient_norm, np.linalg.norm(grad.flatten(), axis=1))
    assert (trained.steps == 200).all()
    assert not trained.diverged.any()


def test_no_steps_leave_the_start():
    params, x, y = problem()
    trained = train(Objective(), params, x, y, steps=0)
    assert same_bits(trained.params.flatten(), params.flatten())


@pytest.mark.parametrize("n_inputs", [1, 2])
@pytest.mark.parametrize("n_samples", [3, 10, 21])
@pytest.mark.parametrize("neuron", NEURONS)
def test_run_in_a_mixed_batch_has_the_bits_it_has_alone(n_samples, n_inputs, neuron):
    params, x, y = problem(8, n_samples, n_inputs, neuron=neuron)
    objectives = [objective(subset) for subset in SUBSETS]
    together = train(objectives, params, x, y, steps=60)
    for r in range(8):
        row = slice(r, r + 1)
        alone = train(objectives[r], params.take(row), x[row], y[row], steps=60)
        assert same_bits(alone.params.flatten(), together.params.take(row).flatten())
        assert same_bits(alone.gradient_norm, together.gradient_norm[row])


def test_diverged_run_stops_and_leaves_its_neighbours_alone():
    params, x, y = problem(3, 5)
    wild = RidgeParams(*(value.copy() for value in vars(params).values()))
    wild.output_bias[1] = 1e90  # at this rate everything grows with each step
    options = {"steps": 12, "optimizer": gradient_descent(1.5)}
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
        assert same_bits(mixed.params.take(row).flatten(), tame.params.take(row).flatten())
    assert mixed.curves[0].steps.tolist() == [0, 5, 10, 12]
    assert mixed.curves[1].steps.tolist() == list(range(0, mixed.steps[1] + 1, 5))


def test_start_that_is_not_finite_in_value_diverges_at_once():
    params, x, y = problem(2, 3)
    params.output_weight[:] = 1e200
    trained = train(Objective(), params, x, y, steps=5)
    assert trained.diverged.all()
    assert (trained.steps == 0).all()
    assert same_bits(trained.params.flatten(), params.flatten())


def test_curves_record_what_training_does_and_do_not_change_it():
    params, x, y = problem(2, 4)
    objectives = [Objective(), objective(("separation",))]
    plain = train(objectives, params, x, y, steps=25)
    recorded = train(objectives, params, x, y, steps=25, record_every=10)
    assert plain.curves == ()
    assert same_bits(plain.params.flatten(), recorded.params.flatten())
    first, second = recorded.curves
    assert first.steps.tolist() == [0, 10, 20, 25]
    assert set(first.values) == {"objective", "fit"}
    assert set(second.values) == {"objective", "fit", "separation"}
    assert first.params.prototypes.shape == (4, 4, 1)
    assert same_bits(first.params.flatten()[0], params.flatten()[0])
    assert same_bits(second.params.flatten()[-1], plain.params.flatten()[1])
    halfway = train(objectives, params, x, y, steps=10)
    assert same_bits(first.params.flatten()[1], halfway.params.flatten()[0])
    total, _, values = objectives[1].value_and_grad(halfway.params, x, y)
    assert second.values["objective"][1] == total[1]
    assert second.values["separation"][1] == values["separation"][1]


def test_single_precision_trains_in_single_precision():
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
    with pytest.raises(ValueError, match="objectives has 2 entries; expected one a run, 3"):
        train([Objective()] * 2, params, x, y)
    with pytest.raises(ValueError, match="y has NaN"):
        train(Objective(), params, x, y * np.nan)


def test_allocations_are_reused_between_steps():
    """Pages mapped per step at N = 100 stay few: the arrays of one step serve the next."""
    resource = pytest.importorskip("resource")
    params, x, y = problem(8, 100)
    full = objective(("coverage", "separation", "overlap"))
    train(full, params, x, y, steps=3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    train(full, params, x, y, steps=20)
    pages = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20
    one_array = forward(params, x, y).hidden.nbytes / 4096
    assert pages < one_array / 2
