import numpy as np
import pytest
from helpers import ROOT, same_bits

import mlpspec
from mlpspec.data.datasets import sine
from mlpspec.data.tabular import content_hash, read_columns
from mlpspec.errors import InputError
from mlpspec.network.forward import forward
from mlpspec.network.neurons import NEURONS
from mlpspec.running.worker import train_batch
from mlpspec.study.problem import data_of, domain_of, read_tables, start_of
from mlpspec.study.run import Run


@pytest.fixture
def wheat(tmp_path, monkeypatch):
    """A CSV file with 15 rows, whose second column is the first one squared."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i},{i * i},{i % 4}\n" for i in range(-7, 8))
    (tmp_path / "wheat.csv").write_text(f"width,area,kind\n{rows}")
    return tmp_path / "wheat.csv"


def file_run(**settings):
    return Run(dataset="file:wheat.csv", columns="width", **settings)


def test_inputs_and_targets_come_from_the_same_rows(wheat):
    run = file_run(target="column:area", n_samples=15)
    x, y = data_of(run)
    assert sorted(x[:, 0]) == pytest.approx(np.arange(-7, 8) / 7)
    area = (7 * x[:, 0]) ** 2
    mean = 280 / 15
    np.testing.assert_allclose(y, (area - mean) / (49 - mean), rtol=1e-12)
    assert not same_bits(x, data_of(file_run(n_samples=15, seed=1))[0])
    x, y = data_of(file_run(n_samples=5, seed=2))
    np.testing.assert_allclose(y, np.sin(np.pi * x[:, 0]))


def test_a_file_is_known_by_its_content(wheat):
    run = file_run(target="column:area")
    assert run.n_inputs == 1
    copy = wheat.rename(wheat.with_name("copy.csv"))
    same = Run(dataset="file:copy.csv", columns="width", target="column:area")
    assert same.key == run.key
    assert same.dataset != run.dataset
    assert Run(dataset="file:copy.csv", columns="area", target="column:area").key != run.key
    two = {"dataset": "file:copy.csv", "columns": "width,area"}
    assert Run(**two).n_inputs == 2
    assert Run(**two).key == Run(**two, n_inputs=2).key != Run(**two, scaling="common").key
    assert Run(**two).key != Run(**two | {"columns": "area,width"}).key
    content = copy.read_text()
    copy.write_text(content + "9,81,1\n")
    assert Run(dataset="file:copy.csv", columns="width", target="column:area").key != run.key
    assert Run(**run.to_dict()) == run  # described once, the file is not needed
    assert start_of(run).shape == (31,)
    assert domain_of(run).width == 2.0


@pytest.mark.parametrize("name", ["inputs", "kmeans"])
def test_a_start_at_inputs_of_a_file_needs_them_or_the_file(name, wheat):
    run = file_run(initializer=name, n_samples=6, n_hidden=4, shift=2.0)
    (x, _), start = data_of(run), start_of(run)
    params = NEURONS["ridge"].unflatten(start[None], 1)
    if name == "inputs":
        near = np.abs(params.prototypes[0] - x.T).min(axis=1)
        np.testing.assert_allclose(near, 0.0, atol=1e-7)
    (record,) = train_batch((Run(**run.to_dict() | {"steps": 0}),), None, read_tables([run]))
    assert same_bits(record.params, start)
    wheat.unlink()
    read_columns.cache_clear()
    assert same_bits(start_of(run, x), start)
    with pytest.raises(InputError, match=r"wheat\.csv"):
        start_of(run)


def test_a_file_may_be_written_in_another_way(wheat):
    settings = {"columns": "width", "target": "column:area"}
    german = wheat.with_name("german.csv")
    german.write_text(wheat.read_text().replace(",", ";").replace("49", '"49,0"'))
    way = {"separator": ";", "decimal": ","}
    run = Run(dataset="file:german.csv", **settings, **way)
    plain = Run(dataset="file:wheat.csv", **settings)
    for first, second in zip(data_of(run), data_of(plain), strict=True):
        np.testing.assert_array_equal(first, second)
    named = {"separator": "semicolon", "decimal": "comma"}
    assert run == Run(dataset="file:german.csv", **settings, **named)
    default = {"separator": "comma", "decimal": "point"}
    assert (
        Run(dataset="file:wheat.csv", **settings, **default).key
        == file_run(target="column:area").key
    )


def test_a_column_that_tables_would_not_show_is_refused(wheat):
    wheat.write_text(wheat.read_text().replace("width", "NA"))
    run = Run(dataset="file:wheat.csv", columns="NA")
    with pytest.raises(InputError, match=r"the column 'NA' would be read as no value in runs.csv"):
        read_tables([run])
    assert read_tables([Run(dataset="file:wheat.csv", columns="NA,area")])


def test_tables_stand_in_for_the_file(wheat):
    run = file_run(n_samples=4)
    tables = read_tables([run, Run()])
    assert [table.shape for table in tables.values()] == [(15, 1)]
    wheat.unlink()
    x, _ = data_of(run, tables)
    assert x.shape == (4, 1)
    (record,) = train_batch((Run(**{**run.to_dict(), "steps": 1}),), tables=tables)
    assert same_bits(record.x, x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_samples": 16}, "wheat.csv has 15 rows, n_samples is 16; give smaller sizes"),
        ({"target": "column:aera"}, "unknown column of wheat.csv 'aera'; did you mean 'area'?"),
    ],
)
def test_what_a_file_lacks_is_said_before_training(wheat, settings, message):
    with pytest.raises(InputError) as error:
        read_tables([file_run(), file_run(**settings)])
    assert str(error.value) == message


def test_a_changed_file_fails_its_runs(wheat):
    run = file_run(steps=1, n_samples=4)
    wheat.write_text(wheat.read_text().replace("49", "48"))
    read_columns.cache_clear()
    (record,) = train_batch((run,))
    assert record.status == "failed"
    assert "wheat.csv has changed since it was described" in record.error.splitlines()[-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": "a"}, "columns is a, but dataset is uniform; give dataset=file:PATH.csv"),
        ({"target": "column:a"}, "target is column:a, but dataset is uniform"),
        ({"scaling": "common"}, "scaling is common, but dataset is uniform"),
        ({"separator": ";"}, "separator is semicolon, but dataset is uniform"),
        ({"decimal": "comma"}, "decimal is comma, but dataset is uniform"),
        ({"separator": "x"}, "unknown separator 'x'; known: bar, comma, semicolon, space, tab"),
        ({"decimal": 5}, "unknown decimal '5'; known: comma, point"),
        ({"dataset": "file:wheat.csv"}, "and columns is empty; name the inputs"),
        (
            {"dataset": "file:wheat.csv", "columns": "width,area", "n_inputs": 3},
            "n_inputs is 3, but columns is width,area; leave n_inputs out",
        ),
        ({"columns": ("a", 5)}, "columns is a,5, but"),
        ({"columns": 5}, "columns is 5; it must look like width,length"),
        ({"scaling": "rows"}, "unknown scaling 'rows'; known: columns, common"),
        ({"shift": 1e7}, "shift is 1e+07; it must be from -1e6 to 1e6"),
    ],
)
def test_settings_that_do_not_fit_each_other(wheat, settings, message):
    with pytest.raises(InputError) as error:
        Run(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize("n_inputs", [1, 2])
@pytest.mark.parametrize("neuron", ["ridge", "radial"])
def test_a_moved_start_computes_the_same(neuron, n_inputs):
    run = Run(neuron=neuron, n_inputs=n_inputs)
    moved = Run(neuron=neuron, n_inputs=n_inputs, shift=3.5)
    (x, y), (x_moved, y_moved) = data_of(run), data_of(moved)
    np.testing.assert_allclose(x_moved, x + 3.5, rtol=1e-15)
    np.testing.assert_array_equal(y_moved, sine(x))
    here, there = (
        forward(NEURONS[neuron].unflatten(start_of(r)[None], n_inputs), a[None], y[None])
        for r, a in ((run, x), (moved, x_moved))
    )
    np.testing.assert_allclose(there.output, here.output, rtol=1e-12, atol=1e-13)
    assert (domain_of(moved).low, domain_of(moved).high) == (2.5, 4.5)


@pytest.mark.parametrize("n_inputs", [1, 2])
def test_radial_training_does_not_see_where_the_origin_is(n_inputs):
    """Adam and all losses know differences of places alone; ridge prototypes know the origin."""
    settings = {
        "losses": "coverage+separation+overlap",
        "n_inputs": n_inputs,
        "n_samples": 6,
        "steps": 50,
    }
    for neuron, unmoved in (("radial", True), ("ridge", False)):
        runs = [Run(neuron=neuron, shift=shift, **settings) for shift in (0.0, 2.0)]
        here, there = train_batch(tuple(runs))
        errors = [record.measurements["reconstruction_error"] for record in (here, there)]
        assert (errors[1] == pytest.approx(errors[0], rel=1e-9)) is unmoved
        if unmoved:
            params = [NEURONS[neuron].unflatten(r.params[None], n_inputs) for r in (here, there)]
            moved = params[0].moved(2.0).flatten()
            np.testing.assert_allclose(params[1].flatten(), moved, rtol=1e-8, atol=1e-9)


def test_random_targets_do_not_depend_on_the_inputs():
    _, y = data_of(Run(target="random", seed=4))
    _, other = data_of(Run(target="random", seed=4, dataset="grid", shift=2.0))
    assert same_bits(y, other)
    assert not same_bits(y, data_of(Run(target="random", seed=5))[1])
    assert np.abs(y).max() <= 1


def test_own_data_of_the_experiment_follow_their_formula():
    path = str(ROOT / "experiments" / "spiral.csv")
    x, y, way = read_columns(path, content_hash(path), ("x", "y", "way")).T
    i = np.arange(120)
    np.testing.assert_allclose(way, (i + 0.5) / 120, atol=6e-7)
    np.testing.assert_allclose(x, way * np.cos(3 * np.pi * way), atol=2e-5)
    np.testing.assert_allclose(y, way * np.sin(3 * np.pi * way), atol=2e-5)


def test_a_directory_says_that_only_line_ends_of_its_file_differ(wheat, tmp_path):
    settings = {"dataset": "file:wheat.csv", "columns": "width", "n_samples": 4, "steps": 1}
    study = mlpspec.Study("wheat", {"losses": ((),), "seed": (0,)}, settings)
    mlpspec.run_study(study, tmp_path / "out", n_jobs=1)
    wheat.write_bytes(wheat.read_bytes().replace(b"\n", b"\r\n"))
    study = mlpspec.Study("wheat", {"losses": ((),), "seed": (0, 1)}, settings)
    with pytest.raises(InputError, match=r"wheat.csv has changed only in its line ends"):
        mlpspec.run_study(study, tmp_path / "out", n_jobs=1)


def test_a_file_that_has_not_changed_is_not_said_to_have(tmp_path):
    file = tmp_path / "wheat.csv"
    file.write_text("a,b\n1,2\n3,5\n4,4\n")
    settings = {"dataset": f"file:{file}", "columns": "a", "n_samples": 3, "steps": 1}
    mlpspec.run_study(mlpspec.Study("wheat", {"seed": (0,)}, settings), tmp_path / "r", n_jobs=1)
    other = mlpspec.Study("wheat", {"seed": (0,)}, {**settings, "steps": 2})
    with pytest.raises(InputError, match=r"made with steps=1 \(asked: 2\); continue it with"):
        mlpspec.run_study(other, tmp_path / "r", n_jobs=1)
