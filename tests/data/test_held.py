"""Arrays as data: known by content, kept in the results directory, given to workers."""

import numpy as np
import pytest

import mlpspec
from mlpspec.data.held import HELD
from mlpspec.data.tabular import read_columns
from mlpspec.errors import InputError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(3.0, 2.0, (12, 2)), RNG.normal(size=12)


def study(x=X, y=Y, **changes):
    axes = {"losses": ("baseline", "coverage"), "n_samples": (4, 6), "seed": (0, 1)}
    return mlpspec.Study("mine", axes, {"steps": 20}).with_data(x, y).replace(**changes)


@pytest.fixture
def anew():
    """What another process holds: nothing."""

    def forget():
        HELD.clear()
        read_columns.cache_clear()

    yield forget
    forget()


def test_what_counts_is_the_content():
    keys = [run.key for run in study().runs]
    assert keys == [run.key for run in study(X.copy(order="F"), list(Y)).runs]
    other = X.copy()
    other[3, 1] = np.nextafter(other[3, 1], 9.0)
    for changed in (study(other), study(X, Y + 1.0), study(X[::-1], Y[::-1]), study(X, None)):
        assert not {run.key for run in changed.runs} & {*keys}
    assert study().runs[0].n_inputs == 2


def test_runs_have_the_rows_of_the_arrays_scaled_as_those_of_a_file(tmp_path):
    results = mlpspec.run_study(study(), tmp_path / "arrays", n_jobs=1)
    file = tmp_path / "same.csv"
    rows = np.column_stack([X, Y]).tolist()
    file.write_text("".join(",".join(map(str, row)) + "\n" for row in [("x1", "x2", "y"), *rows]))
    same = study(dataset=f"file:{file}")
    assert [run.key for run in same.runs] == [*results.keys_of(study().runs)]
    deviation = X - X.mean(axis=0)
    scaled = {tuple(row) for row in (deviation / np.abs(deviation).max(axis=0)).round(9).tolist()}
    for key in results.runs:
        x, _ = results.dataset(key)
        assert {tuple(row) for row in x[0].round(9).tolist()} <= scaled


def test_a_directory_keeps_the_arrays(tmp_path, anew):
    first = mlpspec.run_study(study(), tmp_path, n_jobs=1)
    anew()
    results = mlpspec.load(tmp_path)
    assert len(results.stacks()) == 2
    results.write_tables()
    more = mlpspec.run_study(results.study.replace(seed=range(3)), tmp_path, n_jobs=1)
    assert len(more.runs) == 12
    assert {*first.runs} <= {*more.runs}
    anew()
    with pytest.raises(InputError, match=r"not in memory; give them again with study.with_data"):
        mlpspec.run_study(results.study, tmp_path / "elsewhere", n_jobs=1)
    loaded = mlpspec.load(tmp_path).study  # from then on they are in memory
    assert not mlpspec.run_study(loaded, tmp_path / "elsewhere", n_jobs=1).errors
    anew()
    with pytest.raises(InputError, match="was made with dataset"):
        mlpspec.run_study(study(X + RNG.normal(size=X.shape)), tmp_path, n_jobs=1)


def test_without_targets_the_setting_says_them(tmp_path, anew):
    own = study(X, None, target="sine")
    results = mlpspec.run_study(own, tmp_path, n_jobs=1)
    x, y = results.dataset(next(iter(results.runs)))
    np.testing.assert_allclose(y, np.sin(np.pi * x[..., 0]) * np.cos(np.pi * x[..., 1]))
    anew()
    assert not mlpspec.run_study(results.study, tmp_path, n_jobs=1).errors


@pytest.mark.slow
def test_workers_and_figures_have_the_arrays(tmp_path, anew):
    one, two = (mlpspec.run_study(study(), tmp_path / str(n), n_jobs=n) for n in (1, 2))
    for key in one.runs:
        assert one.params(key).flatten().tobytes() == two.params(key).flatten().tobytes()
    anew()
    assert len(mlpspec.load(tmp_path / "2").plot("hull").axes) == 2


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:, 0], Y, r"x has shape \(12,\); expected \(N, D\); give x\[:, None\]"),
        (X, Y[:5], r"y has shape \(5,\); expected \(12,\)"),
        (X, Y[:, None], "a number a row of x"),
        (X, np.where(Y > 0, np.nan, Y), "y has NaN or infinite entries"),
        (X.astype(str), Y, "expected an array of real numbers"),
        ([[1.0], [1.0, 2.0]], None, "x is ragged"),
        (np.zeros((0, 2)), None, r"x has shape \(0, 2\)"),
    ],
)
def test_what_is_no_data_is_said(x, y, message):
    with pytest.raises(InputError, match=message):
        study(x, y)


def test_more_rows_than_there_are_cannot_be_drawn(tmp_path):
    with pytest.raises(InputError, match="arrays has 12 rows, n_samples is 20"):
        mlpspec.run_study(study(n_samples=20), tmp_path, n_jobs=1)
    with pytest.raises(InputError, match="arrays: column 'x1' is 2 in every row"):
        mlpspec.run_study(study(np.full((8, 2), 2.0), None, target="sine"), tmp_path, n_jobs=1)
