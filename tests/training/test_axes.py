"""Choices of training: rules and schedules against PyTorch's, and laws that each choice keeps."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import SUBSETS, central_difference, objective, problem, same_bits, take
from pytorch_values import START, gradient

from mlpspec.data.datasets import Uniform, sine, stream
from mlpspec.data.spec import build
from mlpspec.errors import InputError
from mlpspec.losses import L1, L2, Coverage, LogRepulsion, Overlap
from mlpspec.losses.objective import Objective, weighted_sum
from mlpspec.network.forward import forward
from mlpspec.network.neurons import NEURONS
from mlpspec.training.optimizers import OPTIMIZERS, RULES, adam, adamw, gradient_descent, lbfgs
from mlpspec.training.perturbation import Perturbation, Perturbed, Seen, of_inputs
from mlpspec.training.schedules import SCHEDULES, constant, cosine, rates, step
from mlpspec.training.stopping import EarlyStopping, held_out, never, phases_of, plateau
from mlpspec.training.trainer import train

PYTORCH = json.loads(Path(__file__).with_name("pytorch_values.json").read_text())

BY_HAND = {"optimizers": {}, "schedules": {}}
"""What PyTorch has not: paths of rules (steps, 3), from the same start and gradient; rates of
schedules (steps,), from 0.1."""

PATHS, RATES = (PYTORCH[kind] | by_hand for kind, by_hand in BY_HAND.items())


@pytest.mark.parametrize("text", PATHS)
def test_rules_step_as_in_pytorch(text):
    rule, numbers, decay, _ = build(text, OPTIMIZERS, "optimizer", learning_rate=0.1)
    theta, m, s = np.array(START), 0.0, 0.0
    for t, expected in enumerate(PATHS[text], start=1):
        move, m, s = RULES[rule](np.array(gradient(theta)), m, s, float(t), numbers)
        theta = (1.0 - numbers[0] * decay) * theta + move
        np.testing.assert_allclose(theta, expected, rtol=1e-13, atol=1e-15)


def test_all_rules_and_schedules_are_compared():
    assert {text.partition("(")[0] for text in PATHS} == {*OPTIMIZERS} - {"lbfgs"}
    assert {text.partition("(")[0] for text in RATES} == {*SCHEDULES, "warmup"}


@pytest.mark.parametrize("text", RATES)
def test_schedules_are_those_of_pytorch(text):
    expected = RATES[text]
    found = rates(0.1, len(expected), warmup=0.5)
    if text != "warmup":
        found = rates(0.1, len(expected), build(text, SCHEDULES, "schedule"))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_rates_of_few_steps():
    assert rates(0.1, 0, cosine(), 0.5).shape == (0,)
    assert rates(0.1, 1, step(), 0.5).tolist() == [0.1]
    assert rates(0.5, 3, constant()).tolist() == [0.5] * 3


FULL = {**objective(SUBSETS[-1]).terms, "l1": (0.01, L1()), "l2": (0.02, L2())}
RIDING = {**FULL, "log": (0.01, LogRepulsion(0.01))}
CHOICES = {
    "schedule": {"schedule": cosine(periods=2), "warmup": 0.2},
    "adamw": {"optimizer": adamw(0.01, decay=0.5)},
    "window": {"losses_from": 0.2, "losses_until": 0.6},
    "late": {"losses_from": 0.1},
    "early": {"losses_until": 0.1},
    "plateau": {"early_stopping": plateau(every=3, patience=2, tolerance=0.3)},
    "held_out": {"early_stopping": held_out(every=2, patience=2, tolerance=0.2)},
    "both": {"losses_until": 0.3, "early_stopping": plateau(every=3, patience=1, tolerance=0.3)},
}
PERTURBED = {
    name: {"perturbation": Perturbation(**{name: 0.1})}
    for name in ("dropout", "jitter", "target_noise", "adversarial", "deactivation")
}
PERTURBED["all"] = {"perturbation": Perturbation(0.3, 0.05, 0.1, 0.02, 0.1), "losses_until": 0.5}
ENGINES = ("numpy", "compiled")


def more(choice, rows, n, n_inputs=1):
    """What a choice needs beside itself, for the runs with some seeds."""
    given = dict(choice)
    if "perturbation" in given:
        given["streams"] = [partial(stream, seed=r, n_samples=n, n_inputs=n_inputs) for r in rows]
    if given.get("early_stopping", never()).watched == "held_out":
        others = [Uniform().draw(stream("held_out", r, n, n_inputs), 4, n_inputs) for r in rows]
        given["held_out"] = np.stack(others), sine(np.stack(others))
    return given


@pytest.mark.parametrize("terms", [FULL, RIDING], ids=["known", "riding"])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("neuron", "n", "n_inputs"), [("ridge", 40, 1), ("radial", 6, 2)])
def test_both_engines_train_alike(terms, choice, neuron, n, n_inputs):
    params, x, y = problem(3, n, n_inputs, 5, neuron)
    given = {"steps": 30, "record_every": 4, **more(CHOICES[choice], range(3), n, n_inputs)}
    plain, fast = (train(Objective(terms), params, x, y, engine=e, **given) for e in ENGINES)
    assert plain.steps.tolist() == fast.steps.tolist()
    np.testing.assert_allclose(fast.params.flatten(), plain.params.flatten(), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fast.gradient_norm, plain.gradient_norm, rtol=1e-7, atol=1e-9)
    for one, other in zip(fast.curves, plain.curves, strict=True):
        assert one.steps.tolist() == other.steps.tolist()
        assert {*one.values} == {*other.values} >= {"objective", "fit", "l1", "l2"}
        for name, value in one.values.items():
            np.testing.assert_allclose(value, other.values[name], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("choice", [*CHOICES, *PERTURBED, "lbfgs"])
def test_no_neighbour_and_no_record_changes_a_bit(engine, choice):
    choice = {**CHOICES, **PERTURBED, "lbfgs": {"optimizer": lbfgs()}}[choice]
    terms = [FULL, {"overlap": (0.1, Overlap())}, RIDING, {}]
    params, x, y = problem(4, 5)
    options = {"steps": 20, "engine": engine}
    together = train([*map(Objective, terms)], params, x, y, **options, **more(choice, range(4), 5))
    for r in range(4):
        row = slice(r, r + 1)
        for every in (0, 3):
            alone = train(
                Objective(terms[r]),
                *(take(params, row), x[row], y[row]),
                record_every=every,
                **options,
                **more(choice, [r], 5),
            )
            assert same_bits(alone.params.flatten(), together.params.flatten()[row])
            assert same_bits(alone.gradient_norm, together.gradient_norm[row])
            assert alone.steps[0] == together.steps[r]
        assert alone.curves[0].steps[-1] == alone.steps[0]
        assert same_bits(alone.curves[0].params.flatten()[-1:], alone.params.flatten())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("first", "last"), [(0.0, 0.4), (0.4, 1.0), (0.2, 0.6), (0.0, 0.05)])
def test_losses_are_active_in_their_share_of_the_steps(engine, first, last):
    """Gradient descent keeps nothing: a whole training is that of its parts, one after another."""
    params, x, y = problem(2, 6)
    full, bare = Objective(FULL), Objective({name: FULL[name] for name in ("l1", "l2")})
    options = {"optimizer": gradient_descent(0.01), "engine": engine}
    whole = train(full, params, x, y, steps=20, losses_from=first, losses_until=last, **options)
    for part, count in ((bare, first), (full, last - first), (bare, 1.0 - last)):
        params = train(part, params, x, y, steps=round(20 * count), **options).params
    assert same_bits(whole.params.flatten(), params.flatten())
    final = full if last == 1.0 else bare
    norm = np.linalg.norm(final.value_and_grad(params, x, y)[1].flatten(), axis=1)
    np.testing.assert_allclose(whole.gradient_norm, norm, rtol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", [gradient_descent(0.01), lbfgs()], ids=lambda each: each.rule)
def test_what_is_recorded_at_a_change_is_what_the_next_step_goes_down(engine, optimizer):
    params, x, y = problem(2, 6)
    options = {"optimizer": optimizer, "engine": engine, "losses_until": 0.5, "record_every": 5}
    for curve in train(Objective(FULL), params, x, y, steps=20, **options).curves:
        assert curve.steps.tolist() == [0, 5, 10, 15, 20]
        assert np.isnan(curve.values["coverage"]).tolist() == [False, False, True, True, True]
        assert np.isfinite(curve.values["l2"]).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["plateau", "held_out"])
def test_a_run_that_stops_is_the_one_of_so_many_steps(engine, name):
    params, x, y = problem(6, 5)
    others = np.linspace(-1.0, 1.0, 9)[None, :, None].repeat(6, 0)
    rule = EarlyStopping({"plateau": "objective"}.get(name, name), 5, 3, 0.2)
    options = {"engine": engine, "optimizer": gradient_descent(0.05)}
    stopped = train(
        *(objective(("overlap",)), params, x, y),
        steps=400,
        early_stopping=rule,
        held_out=(others, sine(others)),
        **options,
    )
    assert len({*stopped.steps}) > 1, "each run by itself"
    assert stopped.steps.min() < 400
    seen = others if name == "held_out" else x
    for r, count in enumerate(stopped.steps):
        row = slice(r, r + 1)
        start, data = take(params, row), (x[row], y[row])
        exact = train(objective(("overlap",)), start, *data, steps=int(count), **options)
        assert same_bits(exact.params.flatten(), stopped.params.flatten()[row])
        assert same_bits(exact.gradient_norm, stopped.gradient_norm[row])
        # By hand: the best look before three looks brought no improvement of a fifth.
        least = best = improved = waited = 0
        every = {"steps": 400, "record_every": 5, **options}
        path = train(objective(("overlap",)), start, *data, **every).curves[0].params
        for number, look in enumerate(range(0, 401, 5)):
            at = take(path, slice(number, number + 1))
            if name == "plateau":
                value = objective(("overlap",)).value_and_grad(at, *data)[0][0]
            else:
                net = forward(at, seen[row], sine(seen[row]))
                value = np.square(net.output - net.y).mean()
            if look == 0 or value < least:
                least, best = value, look
            waited = waited + 1 if look and value >= 0.8 * improved else 0
            improved = improved if waited else value
            if waited == 3:
                break
        assert best == count


def test_early_stopping_waits_for_the_last_change_of_the_objective():
    params, x, y = problem(1, 5)
    rule = plateau(every=2, patience=1, tolerance=0.9)
    options = {"early_stopping": rule, "optimizer": gradient_descent(1e-6), "steps": 40}
    late = train(Objective(FULL), params, x, y, losses_from=0.5, **options)
    assert late.steps.tolist() == [22]
    assert train(Objective(FULL), params, x, y, **options).steps.tolist() == [2]


@pytest.mark.parametrize("engine", ENGINES)
def test_lbfgs_finds_the_minimum_that_scipy_finds(engine):
    from scipy.optimize import minimize

    params, x, y = problem(3, 5)
    full = objective(("coverage", "overlap"), temperature=0.5)
    found = train(full, params, x, y, steps=400, optimizer=lbfgs(memory=7), engine=engine)
    few = train(full, params, x, y, steps=4, optimizer=lbfgs(memory=7), engine=engine)
    assert few.steps.tolist() == [4, 4, 4]
    by_adam = train(full, params, x, y, steps=400, optimizer=adam(0.01), engine=engine)
    assert (found.steps <= 400).all()
    for r in range(3):
        row = slice(r, r + 1)

        def value_and_grad(flat, row=row):
            at = params.unflatten(flat[None], 1)
            value, grad, _ = full.value_and_grad(at, x[row], y[row])
            return value[0], grad.flatten()[0]

        options = {"maxcor": 7, "maxiter": 4}
        four = minimize(
            value_and_grad,
            params.flatten()[r],
            jac=True,
            method="L-BFGS-B",
            options=options,
        )
        np.testing.assert_allclose(few.params.flatten()[r], four.x, rtol=1e-6, atol=1e-9)
        reached, norm = value_and_grad(found.params.flatten()[r])
        assert reached < value_and_grad(by_adam.params.flatten()[r])[0]
        assert np.linalg.norm(norm) == pytest.approx(found.gradient_norm[r], rel=1e-3, abs=1e-9)


def test_lbfgs_at_a_start_that_is_not_finite():
    params, x, y = problem(2, 3)
    params.output_weight[0] = 1e200
    found = train(Objective(), params, x, y, steps=5, optimizer=lbfgs())
    assert found.diverged.tolist() == [True, False]
    assert found.steps[0] == 0


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("n_inputs", [1, 2, 3])
def test_derivative_of_the_fit_by_the_inputs(neuron, n_inputs):
    params, x, y = problem(2, 4, n_inputs, 5, neuron)

    def value(flat):
        moved = flat.reshape(len(flat), 4, n_inputs)
        return np.square(forward(params, moved, y).output - y).mean(axis=1)

    numeric = central_difference(value, x.reshape(2, -1))
    found = of_inputs(forward(params, x, y)).reshape(2, -1)
    np.testing.assert_allclose(found, numeric, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_gradient_under_dropout(neuron, n_inputs):
    params, x, y = problem(2, 4, n_inputs, 5, neuron)
    kept = (np.random.default_rng(0).random((2, 4, 5)) > 0.4) / 0.6
    terms = {"coverage": (0.1, Coverage(0.1)), "overlap": (0.1, Overlap())}

    def of(flat):
        net = forward(params.unflatten(flat, n_inputs), x, y)
        return weighted_sum(net, {**terms, "fit": (1.0, Seen(kept * net.hidden, kept))})

    grad = of(params.flatten()).grad.flatten()
    numeric = central_difference(lambda flat: of(flat).total, params.flatten())
    np.testing.assert_allclose(grad, numeric, rtol=1e-7, atol=1e-9 * np.abs(numeric).max())
    # By hand: what is left out adds nothing to the output.
    net = forward(params, x, y)
    f = (kept * net.hidden * params.output_weight[:, None]).sum(axis=2) + params.output_bias[
        :, None
    ]
    np.testing.assert_allclose(of(params.flatten()).values["fit"], np.square(f - y).mean(axis=1))


def test_what_is_drawn_has_the_size_that_was_asked_for():
    params, x, y = problem(2, 50)
    streams = [partial(stream, seed=r, n_samples=50, n_inputs=1) for r in range(2)]
    draw = Perturbed(Perturbation(0.25, 0.1, 0.3), streams, x, y)
    nets, seen = zip(*(draw(params) for _ in range(40)), strict=True)
    kept = [each.slope for each in seen]
    assert np.std([net.x - x for net in nets]) == pytest.approx(0.1, rel=0.05)
    assert np.std([net.y - y for net in nets]) == pytest.approx(0.3, rel=0.05)
    assert np.mean(kept) == pytest.approx(1.0, rel=0.01)
    assert {*np.unique(kept)} == {0.0, 1.0 / 0.75}
    adversary = Perturbed(Perturbation(adversarial=0.1), streams, x, y)
    np.testing.assert_allclose(np.abs(adversary(params)[0].x - x), 0.1)
    fit = [
        np.square(net.output - net.y).mean()
        for net in (forward(params, x, y), adversary(params)[0])
    ]
    assert fit[1] > fit[0]


def test_streams_of_one_kind_do_not_depend_on_the_others():
    params, x, y = problem(1, 6)
    streams = [partial(stream, seed=0, n_samples=6, n_inputs=1)]
    alone = Perturbed(Perturbation(jitter=0.1), streams, x, y)
    beside = Perturbed(Perturbation(jitter=0.1, dropout=0.5, target_noise=0.2), streams, x, y)
    for _ in range(3):
        assert same_bits(alone(params)[0].x, beside(params)[0].x)


@pytest.mark.parametrize("neuron", NEURONS)
def test_penalties_reach_weights_alone(neuron):
    params, x, y = problem(1, 4, 2, 3, neuron)
    weights = {"ridge": ("hidden_weight", "output_weight"), "radial": ("slope", "output_weight")}
    for loss in (L1(), L2()):
        _, grad, _ = Objective({"p": (1.0, loss)}, 0.0).value_and_grad(params, x, y)
        touched = {name for name, value in vars(grad).items() if value.any()}
        assert touched == {*weights[neuron]}


def test_a_step_that_vanishes_is_neglected_only_where_it_makes_no_difference():
    assert adam().ignores_tiny_gradients
    assert gradient_descent().ignores_tiny_gradients
    assert not adam(epsilon=1e-9).ignores_tiny_gradients
    params, x, y = problem(1, 64)
    rule = adam(0.01, epsilon=0.0)
    plain, fast = (
        train(Objective(), params, x, y, steps=5, optimizer=rule, engine=e) for e in ENGINES
    )
    np.testing.assert_allclose(fast.params.flatten(), plain.params.flatten(), rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "known", "message"),
    [
        ("adam(beta1=1)", OPTIMIZERS, "adam has beta1=1; it must be at least 0 and below 1"),
        ("momentum(beta=-0.1)", OPTIMIZERS, "momentum has beta=-0.1; it must be at least 0"),
        ("adagrad(epsilon=-1)", OPTIMIZERS, "adagrad has epsilon=-1; it must be at least 0"),
        ("adamw(decay=-1)", OPTIMIZERS, "adamw has decay=-1; it must be at least 0"),
        ("lbfgs(memory=0)", OPTIMIZERS, "lbfgs has memory=0; it must be at least 1"),
        ("lbfgs(memory=0.5)", OPTIMIZERS, "it must be a whole number"),
        ("lbfgs(memory=1001)", OPTIMIZERS, "it must be at least 1 and at most 1000"),
        ("cosine(periods=10000000)", SCHEDULES, "it must be at least 1 and at most 1e6"),
        ("step(every=0)", SCHEDULES, "step has every=0; it must be above 0 and at most 1"),
        ("cyclic(low=2)", SCHEDULES, "cyclic has low=2; it must be above 0 and at most 1"),
        ("cosine(periods=0)", SCHEDULES, "cosine has periods=0; it must be at least 1"),
        ("cosine(final=-1)", SCHEDULES, "cosine has final=-1; it must be at least 0"),
        ("linear", SCHEDULES, "unknown schedule 'linear'"),
    ],
)
def test_bad_numbers_get_one_line(text, known, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        build(text, known, {id(OPTIMIZERS): "optimizer"}.get(id(known), "schedule"))


def test_what_does_not_go_together_is_refused():
    params, x, y = problem(1, 4)
    for choice in (CHOICES["schedule"], PERTURBED["jitter"]):
        with pytest.raises(InputError, match="lbfgs "):
            train(
                *(Objective(), params, x, y),
                **more(choice | {"optimizer": lbfgs()}, [0], 4),
                steps=10,
            )
    with pytest.raises(InputError, match="streams has 0 entries; expected one a run, 1"):
        train(Objective(), params, x, y, perturbation=Perturbation(jitter=0.1))
    with pytest.raises(InputError, match="held_out is missing"):
        train(Objective(), params, x, y, early_stopping=held_out())
    with pytest.raises(InputError, match="dropout is 1; it must be at least 0 and below 1"):
        Perturbation(dropout=1.0)
    for pair in ((0.5, 0.5), (-0.1, 1.0), (0.0, 1.1), (0.0, 0.01)):
        with pytest.raises(InputError, match="losses_from is"):
            phases_of(10, *pair)
