"""What is derived from a results directory alone."""

import numpy as np

import mlpspec
from mlpspec.analysis.analysis import Analysis
from mlpspec.data.tabular import read_columns
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
