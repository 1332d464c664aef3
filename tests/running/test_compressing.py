"""Compressed runs: trained once, stored as they are measured, the same however they are run."""

import numpy as np
import pytest
from helpers import same_bits

import mlpspec
from mlpspec import compress, studies
from mlpspec.analysis.analysis import Analysis
from mlpspec.cli.command import main
from mlpspec.network.neurons import neuron_of
from mlpspec.report import explorer, figures
from mlpspec.running import compressing, worker
from mlpspec.running.worker import train_batch
from mlpspec.study.problem import data_of, domain_of, losses_of, start_of, stream_of
from mlpspec.study.run import Run
from mlpspec.training.optimizers import gradient_descent

LEVELS = (
    "none",
    "prune_unused",
    "prune_height(keep=0.4)",
    "prune_fit(keep=0.4,refit=1)",
    "prune_random(keep=0.4)",
    "quantise(bits=3)",
    "distil(keep=0.4)",
    "narrow(keep=0.4)",
)
STUDY = mlpspec.Study(
    "levels",
    {
        "losses": ("baseline", "coverage"),
        "n_samples": (5, 8),
        "compress": LEVELS,
        "seed": range(3),
    },
    {"steps": 60},
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    out = tmp_path_factory.mktemp("levels")
    mlpspec.run_study(STUDY, out, n_jobs=1)
    return out


def of(record):
    params = neuron_of(record.run.neuron).unflatten(record.params[None], record.run.n_inputs)
    return params, record.x[None], record.y[None]


def test_stored_parameters_are_those_that_were_measured(directory):
    results = mlpspec.load(directory)
    table = results.table
    assert {*results.status.values()} == {"ok"}
    key = results.keys_of([Run(n_samples=8, steps=60, compress="prune_height(keep=0.4)")])[0]
    assert results.params(key).shape == (1, 3, 1)
    for row, record in enumerate(results.records(results.runs)):
        run = record.run
        params, x, y = of(record)
        again = mlpspec.measure(params, x, y, width=domain_of(run).width, losses=losses_of(run))
        for name, value in again.items():
            np.testing.assert_equal(table[name][row], value[0], err_msg=f"{run} {name}")
        left = table["neurons_left"][row]
        assert params.shape[1] == (run.hidden_units if run.compress == "none" else left)
        if "keep" in run.compress:
            assert left == compress.count_kept(run.n_samples, 0.4)
    assert (table["n_hidden"] == table["n_samples"]).all()  # of the network that was trained


def test_compressed_runs_follow_from_the_one_that_is_not(directory):
    results = mlpspec.load(directory)
    records = {record.run: record for record in results.records(results.runs)}
    for run, record in records.items():
        if run.compress != "none":
            params, x, y = of(records[worker.uncompressed(run)])
            served = compress.serving(params, x)
            best = compress.needed(params, x, y, compress.count_kept(run.n_samples, 0.4))
            tallest = compress.highest(params, compress.count_kept(run.n_samples, 0.4))
            expected = {
                "prune_unused": lambda p=params, m=served: compress.pruned(p, m),
                "prune_height(keep=0.4)": lambda p=params, m=tallest: compress.pruned(p, m),
                "prune_fit(keep=0.4,refit=1)": lambda p=params, m=best, d=(x, y): compress.refitted(
                    compress.pruned(p, m), *d
                ),
                "quantise(bits=3)": lambda p=params: compress.quantised(p, 3),
            }.get(run.compress)
            if expected is not None:
                assert same_bits(record.params, expected().flatten()[0]), run


def test_a_student_is_trained_on_what_its_teacher_says(directory):
    results = mlpspec.load(directory)
    run = Run(n_samples=8, losses="coverage", seed=2, steps=60, compress="distil(keep=0.4)")
    teacher = results.params(worker.uncompressed(run).key)
    x, y = results.dataset(run.key)
    narrower = Run(n_samples=8, seed=2, n_hidden=3)
    rng = stream_of(run, "student")
    start = type(teacher).unflatten(start_of(narrower, x[0], rng)[None], 1)
    assert not same_bits(start.flatten()[0], start_of(narrower, x[0]))
    others = domain_of(run).draw(stream_of(run, "student inputs"), 24, 1)
    asked = np.concatenate([x, others[None]], axis=1)
    student = mlpspec.train(
        mlpspec.Objective(), start, asked, compress.taught(teacher, asked), steps=60
    )
    assert same_bits(results.params(run.key).flatten(), student.params.flatten())
    null = Run(n_samples=8, losses="coverage", seed=2, steps=60, compress="narrow(keep=0.4)")
    on_data = mlpspec.train(mlpspec.Objective(), start, x, y, steps=60)
    assert same_bits(results.params(null.key).flatten(), on_data.params.flatten())


def test_the_bits_are_those_of_each_run_alone(directory):
    results = mlpspec.load(directory)
    for run in STUDY.runs[:: len(STUDY.runs) // 20]:
        (alone,) = train_batch((run,))
        assert same_bits(results.params(run.key).flatten()[0], alone.params)


@pytest.mark.slow
def test_the_bits_do_not_depend_on_workers_or_batches(directory, tmp_path):
    expected = mlpspec.load(directory)
    other = mlpspec.run_study(STUDY, tmp_path, n_jobs=2, batch_size=5)
    for one, two in zip(*(r.records(expected.runs) for r in (expected, other)), strict=True):
        assert one.run == two.run
        assert same_bits(one.params, two.params), one.run


def test_a_batch_trains_a_network_once(monkeypatch):
    counts = []

    def counted(objectives, *rest, **more):
        counts.append(len(objectives))
        return trained(objectives, *rest, **more)

    trained = worker.train
    monkeypatch.setattr(worker, "train", counted)
    runs = [Run(n_samples=5, steps=5, seed=s, compress=c) for s in (0, 1) for c in LEVELS]
    records = train_batch(tuple(runs))
    assert counts == [2]
    assert [record.run for record in records] == runs


def test_a_run_that_diverged_is_left_as_it_is():
    settings = {
        "n_samples": 5,
        "steps": 50,
        "optimizer": "gradient_descent",
        "learning_rate": 1e200,
    }
    whole, *others = train_batch(tuple(Run(**settings, compress=name) for name in LEVELS))
    assert whole.status == "diverged"
    for record in others:
        assert record.status == "diverged"
        assert same_bits(record.params, whole.params)


def test_a_diverged_student_is_a_diverged_run(monkeypatch):
    def diverging(*arguments, **more):
        return trained(*arguments, **{**more, "optimizer": gradient_descent(1e200)})

    trained = compressing.train
    monkeypatch.setattr(compressing, "train", diverging)
    runs = tuple(Run(n_samples=5, steps=50, compress=name) for name in ("none", "distil"))
    assert [record.status for record in train_batch(runs)] == ["ok", "diverged"]


def test_tables_reports_and_pages_know_networks_of_several_widths(directory, capsys):
    results = mlpspec.load(directory)
    widths = {(stack.x.shape[1], stack.params.shape[1]) for stack in results.stacks()}
    assert len(widths) > 4
    assert sum(len(stack.keys) for stack in results.stacks()) == len(results.runs)
    results.export("npz")
    with np.load(directory / "weights.npz") as arrays:
        kept = [len(arrays[name]) for name in arrays if name.endswith("/key")]
    assert sum(kept) == len(results.runs)
    told = explorer.content(results)
    place = told["columns"].index("key")
    keys = [held["cells"][place] for held in told["shown"]]
    assert len(keys) == len(results.runs)
    for record, held in zip(results.records(keys), told["shown"], strict=True):
        assert record.params.size == 3 * held["k"] + 1
    assert main(["status", str(directory)]) == 0
    assert main(["diff", str(directory), str(directory)]) == 0
    capsys.readouterr()


def test_where_pruning_leaves_several_widths_no_picture_shows_some_of_the_runs(tmp_path, capsys):
    """A grid of which every network is pruned to what it uses, recorded while it trained."""
    settings = {"steps": 40, "compress": "prune_unused", "record_every": 20}
    study = studies.paper().replace(n_samples=(5,), seed=range(3), **settings)
    results = mlpspec.run_study(study, tmp_path, n_jobs=1)
    assert len(results.stacks()) > 1
    analysis = Analysis(results)
    null = analysis.other_null
    assert len(null) == 8
    for scores, _ in null.values():
        assert all(np.isfinite(values).all() for values in scores.values())
    run = study.runs[0]
    assert results.curve(run.key).params.shape[1] == run.n_samples  # of the training before
    drawn = figures.tables(analysis)
    assert "outcomes" in drawn
    assert not {*drawn} & {"positions", "reconstruction", "responses", "hull"}
    for held in explorer.content(results)["shown"]:
        assert ("steps" in held) == (held["k"] == 5)  # of fewer neurons there is no curve to draw
    assert main(["verify", str(tmp_path)]) in (0, 1)
    capsys.readouterr()


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_float32_networks_stay_so(engine):
    runs = [Run(n_samples=5, steps=5, dtype="float32", compress=name) for name in LEVELS]
    for record in train_batch(tuple(runs), engine=engine):
        assert record.status == "ok", record.error
        assert record.params.dtype == np.float32


def test_bad_levels_end_before_anything_is_trained(tmp_path, capsys):
    out = tmp_path / "out"
    for given, said in (
        ("quantise(0)", "quantise has bits=0; it must be at least 1 and at most 32"),
        ("distil(keep=1.5)", "distil has keep=1.5; it must be above 0 and at most 1"),
        ("shrink", "unknown compress 'shrink'; known: "),
    ):
        assert main(["run", "--only", "--set", f"compress={given}", "--out", str(out)]) == 2
        stderr = capsys.readouterr().err
        assert said in stderr
        assert stderr.count("\n") == 1
    assert not out.exists()
    assert data_of(Run(compress="distil"))[0].shape == (10, 1)
