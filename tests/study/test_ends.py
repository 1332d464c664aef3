"""Runs that start from the end of another run, or learn its outputs."""

import numpy as np
import pytest
from helpers import same_bits

import mlpspec
from mlpspec.analysis.analysis import Analysis
from mlpspec.data.held import HELD, content_of
from mlpspec.errors import InputError
from mlpspec.network.forward import forward
from mlpspec.network.initializers import Draw, uniform_prototypes
from mlpspec.network.neurons import neuron_of, ridge
from mlpspec.running.worker import train_batch
from mlpspec.store.merge import merge
from mlpspec.store.recovery import recover
from mlpspec.store.store import Store
from mlpspec.study.ends import hold, network_of
from mlpspec.study.problem import data_of, read_tables, start_of
from mlpspec.study.run import Run

SLOW = {"n_samples": 5, "optimizer": "gradient_descent", "learning_rate": 0.05}


def network(neuron="ridge", n_hidden=5, n_inputs=1, dtype=float, seed=0):
    kind = neuron_of(neuron)
    draw = Draw(np.random.default_rng(seed), n_hidden, n_inputs, kind=kind)
    return kind.unflatten(uniform_prototypes(draw).flatten().astype(dtype), n_inputs)


def trained(run, engine="numpy"):
    """The final parameters of a run, R = 1."""
    (record,) = train_batch((run,), engine=engine)
    assert record.status == "ok", record.error
    return neuron_of(run.neuron).unflatten(record.params[None], run.n_inputs)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("neuron", ["ridge", "radial"])
def test_a_run_is_the_same_to_the_bit_in_two_parts(neuron, engine):
    if engine == "compiled":
        pytest.importorskip("numba")
    steps = 1000 if engine == "compiled" else 100
    settings = SLOW | {"neuron": neuron, "losses": "coverage+overlap", "seed": 3}
    whole = trained(Run(**settings, steps=3 * steps), engine)
    first = trained(Run(**settings, steps=steps), engine)
    second = trained(Run(**settings, steps=2 * steps, start=hold(first, "first")), engine)
    assert same_bits(second.flatten(), whole.flatten())
    assert not same_bits(first.flatten(), whole.flatten())


def test_moments_begin_anew():
    whole = trained(Run(n_samples=5, steps=30))
    first = trained(Run(n_samples=5, steps=10))
    assert not same_bits(
        trained(Run(n_samples=5, steps=20, start=hold(first))).flatten(), whole.flatten()
    )


def test_what_counts_in_a_key_is_the_content():
    params = network()
    run = Run(n_samples=5, start=hold(params, "1ba35afa4f592afa"))
    same = Run(n_samples=5, start=hold(network(), "elsewhere"))
    assert same.start != run.start
    assert (same.key, same.meaning) == (run.key, run.meaning)
    assert Run(**run.to_dict()) == run
    flat = params.flatten()
    flat[0, 2] = np.nextafter(flat[0, 2], 9.0)
    others = [
        network(n_hidden=6),
        network("radial"),
        network("ridge(epsilon=0.001)"),
        network(dtype=np.float32),
        type(params).unflatten(flat, 1),
    ]
    keys = {Run(n_samples=5, start=hold(other)).key for other in others}
    keys |= {run.key, Run(n_samples=5).key, Run(n_samples=5, target=hold(params)).key}
    assert len(keys) == 8


@pytest.mark.parametrize("given", [None, np.ones((1, 4)), SLOW])
def test_what_is_no_network_is_not_held(given):
    with pytest.raises(InputError, match=rf"a {type(given).__name__} is no network; give RidgePa"):
        hold(given)


def test_a_held_network_is_a_copy():
    params = network()
    text = hold(params)
    before = params.flatten()
    params.hidden_bias[:] = 7.0
    assert same_bits(network_of("start", text).flatten(), before)
    with pytest.raises(ValueError, match="read-only"):
        network_of("start", text).hidden_bias[0, 0] = 7.0


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_a_start_is_the_network_as_it_is_and_the_seed_draws_the_data(shift):
    params = network()
    runs = [Run(n_samples=8, n_hidden=5, start=hold(params), shift=shift, seed=s) for s in (0, 1)]
    for run in runs:
        assert same_bits(start_of(run), params.flatten()[0])
    x = [data_of(run)[0] for run in runs]
    assert not same_bits(*x)
    plain = data_of(Run(n_samples=8, n_hidden=5, shift=shift))
    assert all(same_bits(a, b) for a, b in zip(data_of(runs[0]), plain, strict=True))
    single = Run(n_samples=8, n_hidden=5, start=hold(params), dtype="float32")
    assert same_bits(start_of(single), params.flatten()[0].astype(np.float32))


@pytest.mark.parametrize("neuron", ["ridge", "radial", "ridge(epsilon=0.0)"])
def test_targets_are_the_outputs_of_the_teacher(neuron):
    teacher = network(neuron, n_hidden=9, n_inputs=2)
    run = Run(n_samples=6, n_hidden=3, n_inputs=2, target=hold(teacher), neuron="radial", shift=0.5)
    for x, y in (data_of(run), data_of(run, held_out=True)):
        expected = forward(teacher, x[None], np.zeros((1, 6))).output[0]
        np.testing.assert_allclose(y, expected, rtol=1e-14)
    assert not same_bits(data_of(run)[0], data_of(run, held_out=True)[0])
    student = trained(Run(**run.to_dict() | {"steps": 200}))
    assert student.shape == (1, 3, 2)


def test_a_teacher_of_its_own_shape_is_learnt_to_nothing_at_its_own_place():
    teacher = network(n_hidden=4)
    run = Run(n_samples=7, n_hidden=4, target=hold(teacher), start=hold(teacher), steps=5)
    assert same_bits(trained(run).flatten(), teacher.flatten())


@pytest.mark.parametrize(
    ("there", "settings", "message"),
    [
        ({"n_hidden": 6}, {}, r"n_hidden=6, and n_hidden of the run is 5; give n_hidden=6"),
        ({"neuron": "radial"}, {}, r"neuron of the run is ridge; give neuron=radial"),
        ({"neuron": "ridge(epsilon=0.001)"}, {}, r"ridge; give neuron=ridge\(epsilon=0.001\)"),
        ({"n_inputs": 2}, {}, r"start is .*give n_inputs=2"),
        ({"n_inputs": 2}, {"setting": "target"}, r"target is .*give n_inputs=2"),
    ],
)
def test_a_network_that_does_not_fit_is_said_before_training(there, settings, message, tmp_path):
    chosen = {"n_samples": 5, settings.get("setting", "start"): hold(network(**there))}
    study = mlpspec.Study("bad", {"seed": (0, 1)}, chosen)
    with pytest.raises(InputError, match=message):
        mlpspec.run_study(study, tmp_path / "bad", n_jobs=1)
    assert not (tmp_path / "bad").exists()


def test_settings_that_would_mean_nothing_are_refused():
    with pytest.raises(InputError, match="initializer is spaced, but start is the end of a run"):
        Run(n_samples=5, start=hold(network()), initializer="spaced")
    with pytest.raises(InputError, match="give --set start=run:DIRECTORY/KEY, in Python start="):
        Run(start="run:runs/paper/dc7bb7477c92cb54")
    with pytest.raises(InputError, match="unknown start 'begin'"):
        Run(start="begin")
    run = Run(n_samples=5, start="run:dc7bb7477c92cb54@ridge:0123456789abcdef")
    with pytest.raises(InputError, match=r"parameters of start=run:dc7b\S+ are not in memory"):
        read_tables([run])
    with pytest.raises(InputError, match="R is 2, of float64; give one network"):
        hold(ridge().unflatten(np.ones((2, 4)), 1))
    with pytest.raises(InputError, match="of float64; give one network, of finite"):
        hold(ridge().unflatten(np.full((1, 4), np.nan), 1))
    with pytest.raises(InputError, match="R is 1, of int64; give one network"):
        hold(ridge().unflatten(np.ones((1, 4), dtype=int), 1))
    with pytest.raises(InputError, match="the name of a network is 'my net'"):
        hold(network(), "my net")


AXES = {"losses": ("baseline", "coverage"), "n_samples": (5,), "seed": (0, 1)}


@pytest.fixture
def source(tmp_path):
    return mlpspec.run_study(mlpspec.Study("first", AXES, {"steps": 20}), tmp_path / "first", 1)


@pytest.fixture
def forget():
    yield HELD.clear
    HELD.clear()


def test_a_run_that_diverged_or_is_not_there_is_no_start(source, tmp_path):
    with pytest.raises(InputError, match="has no run 'dc7bb7477c92cb54'; keys are in"):
        source.end("dc7bb7477c92cb54")
    study = mlpspec.Study("bad", {"seed": (0,)}, SLOW | {"learning_rate": 1e30, "steps": 20})
    bad = mlpspec.run_study(study, tmp_path / "bad", 1)
    (key,) = bad.runs
    assert bad.status[key] == "diverged"
    with pytest.raises(InputError, match=f"run {key} of .* diverged"):
        bad.end(key)


def test_a_directory_keeps_the_networks_that_it_needs(source, tmp_path, forget):
    """It goes on, is judged, merged and recovered without the directory that they come from."""
    key = source.table["key"][0]
    end = source.end(key)
    study = mlpspec.Study("next", AXES, {"steps": 10, "start": end, "target": end})
    first = mlpspec.run_study(study, tmp_path / "next", n_jobs=1)
    mlpspec.run_study(study.replace(seed=(2,)), tmp_path / "more", n_jobs=1)
    forget()
    merge([tmp_path / "next", tmp_path / "more"], tmp_path / "both")
    recover(tmp_path / "both", tmp_path / "saved")
    for place in ("next", "saved"):
        forget()
        results = mlpspec.load(tmp_path / place)
        assert results.study.settings["start"] == end
        assert set(results.table["start"]) == {f"run:@{content_of(end)}"}
        again = mlpspec.run_study(results.study.replace(seed=range(4)), tmp_path / place, n_jobs=1)
        assert {*first.runs} < {*again.runs}
        assert len(again.runs) == 8
    forget()
    (problems,) = Analysis(tmp_path / "both").problems.values()
    null = problems.nulls["start"]["usage_ratio"]
    assert null.shape == (3,)
    there = source.table["usage_ratio"][source.table["key"] == key]
    assert null[0] == there  # the data of that run, and its end
    forget()
    mlpspec.run_study(mlpspec.load(tmp_path / "next").study, tmp_path / "elsewhere", n_jobs=1)


def test_another_network_is_another_study(source, tmp_path, forget):
    first, second = (source.end(key) for key in source.table["key"][:2])
    study = mlpspec.Study("next", AXES, {"steps": 10, "start": first})
    mlpspec.run_study(study, tmp_path / "next", n_jobs=1)
    with pytest.raises(InputError, match="was made with start=run:@ridge:"):
        mlpspec.run_study(study.replace(start=second), tmp_path / "next", n_jobs=1)
    with pytest.raises(InputError, match="was made with target=sine"):
        mlpspec.run_study(study.replace(target=second), tmp_path / "next", n_jobs=1)
    both = mlpspec.Study("axis", {**AXES, "start": (first, second, "placebo")}, {"steps": 10})
    results = mlpspec.run_study(both, tmp_path / "axis", n_jobs=1)
    assert len(results.runs) == 12
    assert len(Analysis(results).grid.cells) == 3
    forget()
    with Store.open(tmp_path / "axis") as store:
        store.hold(both.held)
    assert both.held == {*HELD} == {content_of(first), content_of(second)}


def test_single_precision_and_the_plane_come_back_as_they_were(tmp_path, forget):
    params = network("ridge(epsilon=0.001)", n_hidden=3, n_inputs=2, dtype=np.float32)
    settings = {"n_hidden": 3, "n_inputs": 2, "neuron": "ridge(epsilon=0.001)", "steps": 0}
    axes = {"n_samples": (4,), "seed": (0,)}
    study = mlpspec.Study("plane", axes, {**settings, "start": hold(params)})
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    forget()
    (key,) = mlpspec.load(tmp_path).runs
    assert {*HELD} == study.held
    held = network_of("start", study.settings["start"])
    assert study.held == {content_of(study.settings["start"])}
    assert held.flatten().dtype == np.float32
    assert same_bits(held.flatten(), params.flatten())
    assert same_bits(mlpspec.load(tmp_path).params(key).flatten(), params.flatten().astype(float))


@pytest.mark.slow
def test_workers_have_the_networks(source, tmp_path):
    end = source.end(source.table["key"][1])
    study = mlpspec.Study("next", {**AXES, "seed": range(4)}, {"steps": 10, "start": end})
    study = study.replace(target=end)
    one, two = (mlpspec.run_study(study, tmp_path / str(n), n_jobs=n, batch_size=2) for n in (1, 2))
    for key in one.runs:
        assert same_bits(one.params(key).flatten(), two.params(key).flatten())


def test_each_seed_goes_on_from_its_own_end(source, tmp_path, forget):
    """Paired as ever: whatever its losses, a run starts where the run of its seed ended."""
    pretrained = source.select(losses="baseline")
    study = mlpspec.Study("next", AXES, {"steps": 10}).replace(start=pretrained.ends())
    results = mlpspec.run_study(study, tmp_path / "next", n_jobs=1)
    for run in study.runs:
        (key,) = pretrained.select(seed=run.seed).runs
        assert run.start == source.end(key)
        assert same_bits(start_of(run), source.params(key).flatten()[0])
    assert len({run.start for run in study.runs}) == 2
    analysis = Analysis(results)
    assert analysis.grid.cells == [(5,)]
    assert analysis.problems[(5,)].nulls["start"]["usage_ratio"].tolist() == (
        pretrained.table["usage_ratio"].tolist()
    )
    assert set(results.summary()["runs"]) == {2}
    forget()
    again = mlpspec.load(tmp_path / "next").study
    assert again == study
    assert mlpspec.Study.from_json(study.to_json()).runs == study.runs
    assert "starts" not in mlpspec.Study("plain", AXES).to_json()
    mlpspec.run_study(again.replace(steps=12), tmp_path / "elsewhere", n_jobs=1)
    with pytest.raises(
        InputError, match="varies losses, n_samples, seed, start, not losses, n_samples, seed;"
    ):
        mlpspec.run_study(study.replace(start="start"), tmp_path / "next", n_jobs=1)


def test_one_end_for_each_seed(source):
    with pytest.raises(InputError, match=r"several runs with N = 5, seed 0; choose one .*select"):
        source.ends()
    study = mlpspec.Study("next", AXES).replace(start=source.select(losses="coverage").ends())
    with pytest.raises(InputError, match="none has N = 5, seed 7; train it there, or leave it"):
        _ = study.replace(seed=(0, 7)).runs
    assert not study.replace(start="placebo").starts
    with pytest.raises(InputError, match=r"start has no end of a run; choose runs"):
        study.replace(start={})
    with pytest.raises(InputError, match="target is a mapping; start alone may have a value for"):
        study.replace(target=study.starts)
    with pytest.raises(InputError, match="unknown start 'begin'"):
        mlpspec.Study("next", AXES, starts={"N = 5, seed 0": "begin"})
    with pytest.raises(InputError, match=r"give results.ends\(\)"):
        mlpspec.Study("next", AXES, starts=[*study.starts.values()])
    with pytest.raises(InputError, match="start is placebo, but each seed has a start of its own"):
        mlpspec.Study("next", AXES, {"start": "placebo"}, starts=study.starts)


def test_ends_of_each_seed_are_merged_and_recovered(source, tmp_path):
    ends = source.select(losses="coverage").ends()
    study = mlpspec.Study("next", AXES, {"steps": 3}).replace(start=ends)
    places = [tmp_path / "zero", tmp_path / "one"]
    for seed, place in enumerate(places):
        one = study.replace(seed=(seed,))
        one = one.replace(start={f"N = 5, seed {seed}": ends[f"N = 5, seed {seed}"]})
        mlpspec.run_study(one, place, n_jobs=1)
    (merged,) = merge(places, tmp_path / "both")
    assert merged.missing == 0
    assert mlpspec.load(tmp_path / "both").study.starts == ends
    with Store.open(tmp_path / "both", write=True) as store, store._db as database:
        database.execute("DELETE FROM sessions")
    (tmp_path / "both" / "provenance.json").unlink()
    recover(tmp_path / "both", tmp_path / "saved")
    saved = mlpspec.load(tmp_path / "saved").study
    assert (saved.starts, {run.key for run in saved.runs}) == (ends, {r.key for r in study.runs})
