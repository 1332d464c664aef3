import numpy as np
import pytest

from mlpspec.data.datasets import (
    TARGETS,
    Clustered,
    FileData,
    Grid,
    Uniform,
    canonical_dataset,
    canonical_target,
    file_parts,
    identity,
    random,
    read_dataset,
    stream,
)
from mlpspec.data.tabular import content_hash
from mlpspec.errors import InputError


def rng(seed=0):
    return np.random.default_rng(seed)


def test_cells_by_hand():
    points, side = Uniform(0.0, 4.0).cells(4, 1)
    np.testing.assert_allclose(points[:, 0], [0.5, 1.5, 2.5, 3.5])
    assert side == 1.0
    points, side = Uniform().cells(3, 2)  # three of four cells
    assert points.tolist() == [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5]]
    assert side == 1.0
    points, _ = Uniform().cells(5, 100)  # of 2^100 cells
    assert len(np.unique(points, axis=0)) == 5


@pytest.mark.parametrize("n_inputs", [1, 3])
@pytest.mark.parametrize(
    "text",
    [
        "uniform(-2,-1.5)",
        "clustered",
        "clustered(clusters=2,radius=1)",
        "grid",
        "grid(jitter=1)",
        "grid(1, -3, -2)",
    ],
)
def test_inputs_lie_in_the_domain(text, n_inputs):
    dataset = read_dataset(text)
    x = np.concatenate([dataset.draw(rng(seed), 37, n_inputs) for seed in range(50)])
    assert x.shape == (50 * 37, n_inputs)
    assert (x >= dataset.domain.low).all()
    assert (x <= dataset.domain.high).all()


def test_clusters_are_cubes_around_centres():
    x = Clustered(clusters=4, radius=0.01).draw(rng(), 400, 2)
    order = np.argsort(x[:, 0])
    edges = np.flatnonzero(np.diff(x[order, 0]) > 0.02)
    groups = np.split(x[order], edges + 1)
    assert len(groups) == 4
    for group in groups:
        assert np.ptp(group, axis=0).min() > 0.018
        assert np.ptp(group, axis=0).max() <= 0.02
        assert 60 < len(group) < 140


def test_a_grid_is_jittered_by_a_share_of_its_cells():
    middle = Grid().draw(rng(), 10, 1)
    np.testing.assert_array_equal(middle, Uniform().cells(10, 1)[0])
    np.testing.assert_allclose(Grid(0.0, 0.0, 1.0).draw(rng(), 10, 1), (middle + 1.0) / 2.0)
    moved = np.stack([Grid(0.5).draw(rng(s), 10, 1) - middle for s in range(200)])
    assert 0.049 < np.abs(moved).max() <= 0.05  # half of half a cell of width 0.2


def test_targets_by_hand():
    x = np.array([[0.5, 1.0], [-0.5, 0.0]])
    np.testing.assert_allclose(TARGETS["sine"](x, rng()), [-1.0, -1.0], atol=1e-15)
    assert identity(x).tolist() == [0.5, -0.5]
    np.testing.assert_allclose(TARGETS["double_sine"](x / 2.0, rng()), [-1.0, -1.0], atol=1e-15)
    y = random(np.zeros((1000, 2)), rng())
    assert y.shape == (1000,)
    assert y.tolist() == random(np.ones((1000, 2)), rng()).tolist()
    assert (y >= -1).all()
    assert (y <= 1).all()
    assert abs(y.mean()) < 0.1


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("uniform", "uniform"),
        (" uniform() ", "uniform"),
        ("uniform(low=-1, high=1)", "uniform"),
        ("uniform(high=2)", "uniform(high=2.0)"),
        ("uniform(high=3, low=2)", "uniform(low=2.0,high=3.0)"),
        ("clustered(3)", "clustered(clusters=3)"),
        ("clustered(5, 2e-2)", "clustered(radius=0.02)"),
        ("clustered(radius=.02,clusters=3)", "clustered(clusters=3,radius=0.02)"),
        ("grid(jitter=-0.0)", "grid"),
        ("file:a@b.csv@0123456789abcdef", "file:a@b.csv@0123456789abcdef"),
    ],
)
def test_equal_descriptions_have_one_form(text, canonical):
    assert canonical_dataset(text) == canonical
    assert canonical_dataset(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (5, "dataset is 5; it must be a text like grid(jitter=0.5)"),
        ("unifrom", "unknown dataset 'unifrom'; did you mean 'uniform'?"),
        ("grid(", "'grid(' cannot be read"),
        ("grid(jiter=1)", "unknown argument of grid 'jiter'; did you mean 'jitter'?"),
        ("grid(1, 2, 3, 4)", "'grid(1, 2, 3, 4)' has 4 arguments; grid has 3"),
        ("grid(low=1)", "grid has low=1, high=1; low must be less"),
        ("grid(1, jitter=1)", "gives jitter twice"),
        ("grid(jitter='a')", "has jitter='a'; it must be a finite number"),
        ("grid(jitter=1e999)", "has jitter=inf; it must be a finite number"),
        ("grid(jitter=True)", "has jitter=True; it must be a finite number"),
        ("grid(jitter=1.5)", "grid has jitter=1.5; it must be from 0 to 1"),
        ("clustered(2.0)", "has clusters=2.0; it must be a whole number"),
        ("clustered(0)", "clustered has clusters=0; it must be at least 1"),
        ("clustered(radius=0)", "clustered has radius=0; it must be above 0 and at most 1"),
        ("clustered(radius=1" + "0" * 400 + ")", "it must be a finite number"),
        ("uniform(1, 1)", "uniform has low=1, high=1; low must be less"),
        ("uniform(-1e308, 1e308)", "uniform has low=-1e+308, high=1e+308"),
        ("file:", "dataset is 'file:'; it must look like file:PATH.csv"),
        ("file:absent.csv", "there is no file absent.csv"),
    ],
)
def test_bad_descriptions_get_one_line(text, message):
    with pytest.raises(InputError) as error:
        canonical_dataset(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_targets_are_named():
    assert canonical_target("column: a b ") == "column:a b"
    for text, message in (
        ("sin", "unknown target 'sin'; did you mean 'sine'?"),
        (None, "unknown target 'None'"),
        ("column:", "target is 'column:'; it must look like column:NAME"),
    ):
        with pytest.raises(InputError) as error:
            canonical_target(text)
        assert message in str(error.value)


def test_rows_of_a_file_are_drawn_without_replacement(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "".join(f"{i},{i * i},{-i}\n" for i in range(21)))
    described = canonical_dataset(f"file:{path}")
    assert file_parts(described) == (str(path), content_hash(str(path)))
    data = FileData(str(path), content_hash(str(path)), ("b", "a"), "columns", "y")
    table = data.read()
    assert table.shape == (21, 3)
    np.testing.assert_allclose(table[:, 1], np.linspace(-1, 1, 21), atol=1e-15)
    np.testing.assert_allclose(table[:, 2], -table[:, 1], atol=1e-15)
    rows = data.draw(stream("data", 3, 20, 2), table, 20)
    assert len({tuple(row) for row in rows.tolist()}) == 20
    assert {tuple(row) for row in rows.tolist()} <= {tuple(row) for row in table.tolist()}
    with pytest.raises(InputError, match="has 21 rows, n_samples is 22; give smaller sizes"):
        data.draw(rng(), table, 22)
