"""What is derived from a results directory alone."""

from functools import partial

import numpy as np
import pytest
from helpers import with_ones_own

import mlpspec
from mlpspec.analysis import analysis as of_analysis
from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.judging import judge_stated
from mlpspec.cli.command import main
from mlpspec.data.tabular import read_columns
from mlpspec.errors import InputError
from mlpspec.metrics import measure, nulls
from mlpspec.store.database import FILE_NAME
from mlpspec.store.store import Store
from mlpspec.store.tables import write_csv
from mlpspec.study.study import Study


def test_the_untrained_network_at_inputs_of_a_file_needs_no_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2.5\n2,9\n3,4\n5,7\n8,0\n9,5\n")
    of_file = {"dataset": f"file:{path}", "columns": "a,b", "n_samples": 5, "n_hidden": 3}
    axes = {"initializer": ("kmeans", "inputs"), "seed": (0, 1)}
    study = Study("s", axes, {**of_file, "steps": 0, "shift": 1.0})
    results = mlpspec.run_study(study, tmp_path / "r", n_jobs=1, engine="numpy")
    path.unlink()
    read_columns.cache_clear()
    table, problems = results.table, Analysis(tmp_path / "r").problems
    assert len(problems) == 2
    for (_, initializer), problem in problems.items():
        rows = table["initializer"] == initializer
        # After no steps a run is its start.
        for name in ("reconstruction_error", "fit_mse", "min_slope"):
            np.testing.assert_array_equal(problem.nulls["start"][name], table[name][rows])


def test_a_directory_of_an_older_version_is_read_and_goes_on(tmp_path, monkeypatch):
    """Runs that were stored without a measurement have none: nothing is computed for them later."""
    monkeypatch.setattr(nulls, "NETWORKS", 10)
    study = Study("s", {"n_samples": (4, 6), "seed": (0, 1)}, {"steps": 5})
    new = {measurement.name for measurement in measure.OF_RESPONSES}
    with monkeypatch.context() as older:
        older.setattr(measure, "OF_RESPONSES", ())
        results = mlpspec.run_study(study, tmp_path, n_jobs=1, engine="numpy")
    # Read by this version: no column, no null without a result beside it.
    assert not new & {*results.table}
    assert not new & {*Analysis(tmp_path).nulls_table["measurement"]}

    # With further seeds there are both; the old ones are undefined.
    more = study.replace(seed=range(4))
    results = mlpspec.run_study(more, tmp_path, n_jobs=1, engine="numpy")
    table = results.table
    for name in new - {"false_killing_rate"}:  # which may be undefined anyway
        assert np.isnan(table[name][table["seed"] < 2]).all(), name
        assert np.isfinite(table[name][table["seed"] > 1]).all(), name
    summary = results.summary()
    median = summary["measurement"] == "monosemanticity_median"
    assert {*summary["runs"][median]} == {4}
    assert {*summary["count"][median]} == {2}
    found = Analysis(tmp_path).nulls_table
    for n_samples in (4, 6):
        rows = (found["measurement"] == "monosemantic_fraction") & (found["n_samples"] == n_samples)
        assert sorted(found["null"][rows]) == ["random", "start"]
        (random,) = np.flatnonzero(rows & (found["null"] == "random"))
        assert found["low"][random] <= found["mean"][random] <= found["high"][random]
        assert found["count"][random] == 4


def test_a_companion_whose_store_is_a_link_to_nowhere_is_no_absent_one(tmp_path):
    Store.create(tmp_path, Study("s", {"seed": (0, 1)})).close()
    assert Analysis(tmp_path).sweep is None
    (tmp_path / "tau-sweep").mkdir()
    (tmp_path / "tau-sweep" / FILE_NAME).symlink_to("nowhere")
    with pytest.raises(InputError, match="is not a file; remove it or mend it"):
        _ = Analysis(tmp_path).sweep


def test_stages_of_other_seeds_are_judged_each_with_its_own(tmp_path):
    """A confirmation after no step and after one, of which the second has a seed less."""
    study = mlpspec.studies.confirm().replace(n_samples=(3,))
    for steps, seeds in ((0, range(3)), (1, range(2))):
        part = study.replace(steps=(steps,), seed=seeds)
        mlpspec.run_study(part, tmp_path, n_jobs=1, engine="numpy")
    assert main(["verify", str(tmp_path)]) in (0, 1)
    analysis = Analysis(tmp_path)
    first, second = analysis.evidence
    found = [e.reference("other", 3, e.runs) for e in (first, second)]
    assert [len(values) for values in found] == [3, 2]
    assert np.isfinite(np.concatenate(found)).all()
    alone = Analysis(analysis.results.select(steps=1)).evidence[0]
    np.testing.assert_array_equal(alone.reference("other", 3, alone.runs), found[1])


def test_sizes_of_other_seeds_collapse_each_at_the_temperature_of_its_own(tmp_path, capsys):
    study = mlpspec.studies.collapse().replace(temperature=(0.01, 10.0), steps=0)
    for size, seeds in ((3, range(3)), (5, range(2))):
        part = study.replace(n_samples=(size,), seed=seeds)
        mlpspec.run_study(part, tmp_path, n_jobs=1, engine="numpy")
    assert main(["verify", str(tmp_path)]) == 1  # nothing collapses without a step
    assert "at N = 3, 5" in capsys.readouterr().out
    analysis = Analysis(tmp_path)
    for verdict in analysis.verdicts:
        assert (verdict.sizes, verdict.demands) == ("3 5", 4)
        assert verdict.weakest.endswith("above")


def test_tables_of_a_confirmation_may_have_losses_and_sizes_that_its_grid_lacks(
    tmp_path, monkeypatch
):
    """Without its store it is what fresh seeds are drawn from, of the eight subsets alone."""
    monkeypatch.setattr(of_analysis, "judge_stated", partial(judge_stated, repeats=10))
    study = mlpspec.studies.paper().replace(n_samples=(3,), seed=(0, 1), steps=0)
    results = mlpspec.run_study(study, tmp_path, n_jobs=1, engine="numpy")
    part = study.replace(n_samples=(3, 5))
    runs = mlpspec.run_study(part, tmp_path / "other", n_jobs=1, engine="numpy").table
    runs["reconstruction_error"][runs["losses"] == "coverage"] = 0.1
    folder = tmp_path / "confirm"
    folder.mkdir()
    write_csv(folder / "claims.csv", Analysis(tmp_path).claims_table())
    found = []
    for table in (runs, with_ones_own(runs)):
        write_csv(folder / "runs.csv", table)
        found.append([verdict.repeat for verdict in Analysis(results).verdicts])
    assert np.isfinite(found[0]).sum() == 2 * 8
    np.testing.assert_array_equal(*found)
