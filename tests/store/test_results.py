import csv
import json

import numpy as np
import pytest
from helpers import same_bits

import mlpspec
from mlpspec.store.tables import _statistics, measurement_names, read_csv, write_csv
from mlpspec.study.problem import losses_of

STUDY = mlpspec.studies.paper().replace(seed=(0, 1, 2), n_samples=(3, 4), steps=30)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "r"
    return mlpspec.run_study(STUDY.replace(record_every=10), out, n_jobs=1)


def test_table_has_one_entry_a_run(results):
    assert len(results.table["key"]) == len(results.runs) == 48
    assert set(results.table["status"]) == {"ok"}
    assert set(results.table["losses"]) >= {"baseline", "coverage+separation+overlap"}
    assert results.table["n_hidden"].tolist() == results.table["n_samples"].tolist()
    assert results.table["steps_taken"].dtype.kind == "i"
    assert all(values.ndim == 1 and len(values) == 48 for values in results.table.values())


def test_canonical_order(results):
    table = results.table
    assert table["n_samples"].tolist() == [3] * 24 + [4] * 24
    assert table["losses"][:7].tolist() == ["baseline"] * 3 + ["coverage"] * 3 + ["separation"]
    assert table["seed"][:6].tolist() == [0, 1, 2, 0, 1, 2]


def test_measurements_follow_from_weights_and_data(results):
    for row in (0, 17, 40):
        key = results.table["key"][row]
        x, y = results.dataset(key)
        losses = losses_of(results.runs[key])
        again = mlpspec.measure(results.params(key), x, y, width=2.0, losses=losses)
        for name, value in again.items():
            np.testing.assert_array_equal(value[0], results.table[name][row], err_msg=name)


def test_paired_runs_share_data_and_differ_in_weights(results):
    table = results.table
    keys = table["key"][(table["seed"] == 1) & (table["n_samples"] == 4)]
    assert len(keys) == 8
    x, y = results.dataset(keys[0])
    assert x.shape == (1, 4, 1)
    for key in keys[1:]:
        assert same_bits(results.dataset(key)[0], x)
        assert same_bits(results.dataset(key)[1], y)
        assert not same_bits(results.params(key).flatten(), results.params(keys[0]).flatten())


def test_curve_ends_at_the_final_weights(results):
    key = results.table["key"][30]
    curve = results.curve(key)
    assert curve.steps.tolist() == [0, 10, 20, 30]
    assert same_bits(curve.params.flatten()[-1], results.params(key).flatten()[0])


def test_tables_read_back_exactly(results):
    with (results.directory / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    for name, values in results.table.items():
        column = [type(values[0].item())(row[name] or "nan") for row in rows]
        assert same_bits(np.array(column), values), name


def test_summary_against_loops(results):
    summary = results.summary()
    names = measurement_names(results.table)
    assert set(summary["heavy_tail"]) == {"no"}  # three seeds say nothing about tails
    assert len(summary["measurement"]) == 2 * 8 * len(names)
    for row in (0, 100, 250):
        line = {name: values[row] for name, values in summary.items()}
        mask = (results.table["losses"] == line["losses"]) & (
            results.table["n_samples"] == line["n_samples"]
        )
        values = np.sort(results.table[line["measurement"]][mask])
        assert line["runs"] == line["count"] == 3
        assert line["mean"] == pytest.approx(values.sum() / 3)
        assert line["median"] == values[1]
        assert line["q25"] == pytest.approx((values[0] + values[1]) / 2)
        assert line["std"] == pytest.approx(np.sqrt(((values - line["mean"]) ** 2).sum() / 2))
    written = (results.directory / "summary.csv").read_text().splitlines()
    head = "losses,n_samples,measurement,runs,count,mean,median,std,q25,q75,heavy_tail"
    assert written[0] == head
    assert len(written) == 1 + len(summary["measurement"])


def test_recording_does_not_divide_the_groups_of_the_summary(tmp_path):
    study = STUDY.replace(losses=((),), n_samples=(3,), steps=2)
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    results = mlpspec.run_study(study.replace(seed=range(5), record_every=1), tmp_path, n_jobs=1)
    assert sorted(results.table["record_every"]) == [0, 0, 0, 1, 1]
    summary = results.summary()
    assert "record_every" not in summary
    assert set(summary["runs"]) == {5}


def test_summary_of_values_that_are_lacking():
    measured = np.array([[1, 2, 4], [np.nan, 3, 5], [np.inf, np.nan, 7], [np.nan] * 3])
    found = list(_statistics(measured))
    assert [line["count"] for line in found] == [3, 2, 1, 0]
    np.testing.assert_allclose([line["mean"] for line in found], [7 / 3, 4, 7, np.nan])
    np.testing.assert_allclose([line["median"] for line in found], [2, 4, 7, np.nan])
    np.testing.assert_allclose([line["q75"] for line in found], [3, 4.5, 7, np.nan])
    spread = [np.sqrt(7 / 3), np.sqrt(2), np.nan, np.nan]
    np.testing.assert_allclose([line["std"] for line in found], spread)
    assert [line["count"] for line in _statistics(np.empty((2, 0)))] == [0, 0]
    assert list(_statistics(np.empty((0, 3)))) == []


def test_provenance(results):
    provenance = json.loads((results.directory / "provenance.json").read_text())
    (session,) = provenance["sessions"]
    assert provenance["study"] == "paper"
    assert provenance["settings"]["steps"] == 30
    assert session["runs"] == 48
    assert session["ended"] >= session["started"]
    for name in ("python", "numpy", "scipy", "joblib", "mlpspec", "blas", "cpus", "git_dirty"):
        assert session[name] is not None, name


def test_exports(results):
    (parquet,) = results.export("parquet")
    (npz,) = results.export("npz")
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(parquet)
    assert frame.equals(results.to_pandas())
    with np.load(npz, allow_pickle=False) as arrays:
        keys = arrays["n4_k4_d1/key"]
        assert len(keys) == 24
        one = results.params(keys[5])
        assert same_bits(arrays["n4_k4_d1/hidden_weight"][5], one.hidden_weight[0])
        assert same_bits(arrays["n4_k4_d1/x"][5], results.dataset(keys[5])[0][0])
    assert [path.name for path in results.export("csv")] == ["runs.csv", "summary.csv"]
    with pytest.raises(ValueError, match="format is 'xls'; it must be one of csv, parquet, npz"):
        results.export("xls")


def test_csv_of_awkward_values(tmp_path):
    path = tmp_path / "t.csv"
    write_csv(path, {"a": [1, 2], "b": [np.nan, 0.1], "c": ['say "hi"', "a,b"]})
    assert path.read_bytes() == b'a,b,c\n1,,"say ""hi"""\n2,0.1,"a,b"\n'
    assert list(tmp_path.iterdir()) == [path]


def test_csv_reads_back(results):
    table = read_csv(results.directory / "runs.csv")
    assert list(table) == list(results.table)
    for name, values in results.table.items():
        np.testing.assert_array_equal(table[name], values, err_msg=name)
        assert table[name].dtype.kind == values.dtype.kind or name == "record_every"


def test_load_names_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="not a results directory"):
        mlpspec.load(tmp_path)


def test_a_table_that_cannot_be_written_is_named_and_not_its_draft(tmp_path):
    path = tmp_path / "nowhere" / "runs.csv"
    with pytest.raises(OSError, match="No such file") as found:
        write_csv(path, {"a": np.zeros(1)})
    assert found.value.filename == str(path)
