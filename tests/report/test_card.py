"""The card of a loss: its numbers, its columns, and how it behaves in a directory."""

import csv
import re

import numpy as np
import pytest

import mlpspec
from mlpspec.analysis.analysis import Analysis
from mlpspec.cli import command as cli
from mlpspec.losses import Coverage, HullBarrier, Separation, WeightDecay
from mlpspec.losses.objective import Objective
from mlpspec.metrics.statistics import median_interval, sign_flip
from mlpspec.report import card
from mlpspec.report.figures import alone, effect
from mlpspec.study.problem import data_of, start_of

WRONG = """
from dataclasses import dataclass
from mlpspec import StructuralLoss

@dataclass(frozen=True)
class Wrong(StructuralLoss):
    def value_and_grad(self, forward):
        p = forward.prototypes
        return (p**2).mean(axis=(1, 2)), {"prototypes": -2 * p / p[0].size}
"""


@pytest.fixture(scope="module", autouse=True)
def small():
    """Fewer and shorter runs than those of a real card."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card, "FORCE_SIZES", (3, 5, 8))
        patch.setattr(card, "SIZES", (3, 5, 8))
        patch.setattr(card, "SEEDS", (0, 1, 2))
        patch.setattr(card, "STEPS", 30)
        patch.setattr(card, "ALONE_SIZE", 5)
        patch.setattr(card, "ALONE_STEPS", 50)
        patch.setattr(effect, "SHOWN", ("nearest_error", "outside_fraction"))
        yield


def make(loss, out, *options):
    arguments = ["loss-card", f"mlpspec.losses:{loss}", "--out", str(out), "--jobs", "1"]
    return cli.main([*arguments, "--quiet", *options])


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    place = tmp_path_factory.mktemp("cards")
    for loss, name in (("Coverage(0.01)", "a"), ("HullBarrier", "b")):
        assert make(loss, place / name) == 0
    return place


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(place):
    return {
        path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("loss", [Coverage(0.01), WeightDecay()])
def test_forces_are_the_gradients_at_the_start(loss):
    table = card.forces(loss)
    assert len(table["ratio"]) == 9
    for row, (size, seed) in enumerate(zip(table["n_samples"], table["seed"], strict=True)):
        run = mlpspec.Run(n_samples=int(size), seed=int(seed))
        (x, y), flat = data_of(run), start_of(run)
        params = mlpspec.RidgeParams.unflatten(flat[None], 1)
        forces = []
        for objective in (Objective(), Objective({"l": (1.0, loss)}, fit_weight=0.0)):
            gradient = objective.value_and_grad(params, x[None], y[None])[1].flatten()
            forces.append(np.sqrt(np.mean(gradient**2)))
        fit, own = forces
        np.testing.assert_allclose(table["fit_force"][row], fit, rtol=1e-12)
        np.testing.assert_allclose(table["own_force"][row], own, rtol=1e-12)
        np.testing.assert_allclose(table["ratio"][row], own / fit, rtol=1e-12)
        # With the weight of equal force the gradients are as large as each other.
        passed = mlpspec.forward(params, x[None], y[None])
        weight = 1.0 / table["ratio"][row]
        weighted = Objective({"l": (weight, loss)}, fit_weight=0.0).force(passed)
        assert weighted == pytest.approx(Objective().force(passed))


def test_summary_of_forces():
    table = {
        "n_samples": np.array([3, 3, 3, 5]),
        "ratio": np.array([0.5, 0.0, 2.0, 0.0]),
        "inert": np.array([0, 1, 0, 1]),
    }
    found = card.force_summary(table)
    assert found["n_samples"].tolist() == [3, 5]
    assert found["ratio"].tolist() == [0.5, 0.0]
    assert (found["ratio_low"][0], found["ratio_high"][0]) == (0.0, 2.0)
    assert found["equal_weight"][0] == 1.25  # of 2 and 0.5: the inert seed has none
    assert np.isnan(found["equal_weight"][1])
    assert found["inert"].tolist() == [1, 1]


def test_inert_losses_get_absolute_weights(cards):
    """Where a start has no force, `match_forces` would refuse, so that no run may be matched."""
    table = card.forces(HullBarrier())
    assert 0 < table["inert"].sum() < len(table["inert"])
    assert card.weight_unit(table) == "absolute"
    assert card.weight_unit(card.forces(Coverage(0.01))) == "force"
    assert card.weight_unit(card.forces(Separation(1e-9))) == "absolute"
    for name, unit in (("a", "force"), ("b", "absolute")):
        results = mlpspec.load(cards / name)
        assert set(results.status.values()) == {"ok"}
        assert set(results.table["weight_unit"]) == {unit}
        units = {row["weight_unit"] for row in rows_of(cards / name / "card.csv")}
        assert units == {"", unit}
    page = (cards / "b" / "card.html").read_text()
    assert "its force cannot be matched for every seed" in page


def test_weight_zero_is_the_baseline(cards, tmp_path):
    study = mlpspec.Study(
        "bare", {"losses": ((),), "n_samples": (3, 5, 8), "seed": (0, 1, 2)}, {"steps": 30}
    )
    bare = mlpspec.run_study(study, tmp_path, n_jobs=1)
    own = mlpspec.load(cards / "a")
    of_zero = {(run.n_samples, run.seed): key for key, run in own.runs.items() if run.weight == 0.0}
    assert len(of_zero) == len(bare.runs)
    for key, run in bare.runs.items():
        same = own.params(of_zero[run.n_samples, run.seed]).flatten()
        assert same.tobytes() == bare.params(key).flatten().tobytes()


def test_effects_are_paired_medians(cards):
    analysis = Analysis(cards / "a")
    table = card.effects(analysis)
    runs = analysis.results.table

    def values(weight):
        mine = (runs["weight"] == weight) & (runs["n_samples"] == 5)
        return runs["nearest_error"][mine][np.argsort(runs["seed"][mine])]

    (row,) = np.flatnonzero(
        (table["measurement"] == "nearest_error")
        & (table["n_samples"] == 5)
        & (table["weight"] == 10.0)
    )
    difference = values(10.0) - values(0.0)
    assert table["value"][row] == np.median(values(10.0))
    assert table["baseline"][row] == np.median(values(0.0))
    assert table["difference"][row] == np.median(difference)
    interval = median_interval(difference)
    assert (table["difference_low"][row], table["difference_high"][row]) == interval[1:3]
    assert table["p"][row] == sign_flip(difference[:, None])[0]
    assert table["p_holm"][row] >= table["p"][row]
    assert np.isfinite(table["null_grid"][row])
    assert len(table["p"]) == 9 * len(set(table["measurement"]))
    # The others: as many rows for every measurement, N and weight, once each.
    places = zip(table["measurement"], table["n_samples"], table["weight"], strict=True)
    assert len(set(places)) == len(table["p"])


def test_alone_the_gradient_falls_or_is_not_there(cards):
    for name, loss in (("a", Coverage(0.01)), ("b", HullBarrier())):
        results = mlpspec.load(cards / name / "alone")
        table = card.alone_summary(results, loss)
        assert set(table["n_inputs"]) == {1, 2}
        settled = table["value"][table["quantity"] == "gradient_ratio"]
        assert ((settled < 1.0) | np.isnan(settled)).all()
        points = alone.rows(card.CardRuns(Analysis(cards / name), results, card.forces(loss)))
        assert {*points["kind"]} == {"input", "start", "end"}
        # Of 3 kinds 5 points, of 3 seeds, on a line and in the plane.
        assert len(points["x"]) == 3 * 5 * 3 * 2
        assert np.isnan(points["y"][points["n_inputs"] == 1]).all()


def test_cards_have_the_same_rows_and_columns(cards):
    a, b = (rows_of(cards / name / "card.csv") for name in "ab")
    assert [*a[0]] == [*b[0]] == [*card.FIELDS]
    shared = ("section", "quantity", "n_samples", "n_inputs", "weight")
    assert [[row[name] for name in shared] for row in a] == [
        [row[name] for name in shared] for row in b
    ]
    assert {row["section"] for row in a} == {"check", "force", "alone", "effect"}
    assert {row["loss"] for row in a} == {"coverage"}
    assert {row["definition"] for row in a} == {"Coverage(temperature=0.01), source mlpspec"}
    (gradient,) = (row for row in a if (row["section"], row["quantity"]) == ("check", "gradient"))
    assert float(gradient["value"]) < 1e-8


def test_a_second_call_trains_nothing_and_gives_the_same_bits(cards, capsys):
    before = contents(cards / "a")
    asked = ["loss-card", "mlpspec.losses:Coverage(0.01)", "--out", str(cards / "a"), "--jobs", "1"]
    assert cli.main(asked) == 0
    out = capsys.readouterr().out
    assert out.count("nothing to train") == 2
    assert out.endswith(f"card: {cards / 'a' / 'card.html'}\n")
    assert contents(cards / "a") == before


@pytest.mark.slow
def test_the_same_loss_elsewhere_gives_the_same_bits(cards, tmp_path):
    assert make("Coverage(0.01)", tmp_path / "c") == 0
    first, second = contents(cards / "a"), contents(tmp_path / "c")
    for path, content in first.items():
        if path.name in ("card.html", "card.csv") or path.parts[0] == "figures":
            assert second[path] == content, path


def test_the_page_needs_nothing_else(cards):
    for name in "ab":
        page = (cards / name / "card.html").read_text()
        drawings = re.sub(r"<svg viewBox='[^>]*'>(<use href='#[^>]*/>)+</svg>", "", page)
        assert (
            page.count("<figure>") == drawings.count("<svg") == 3
        )  # the rest are windows onto them
        assert not re.search(r"\b(src|href)=['\"](?!data:|#)", page)
        names = re.sub(r"xmlns(:\w+)?=\"http[^\"]*\"", "", page)  # names, which nothing fetches
        assert "http" not in re.sub(r"<metadata>.*?</metadata>", "", names, flags=re.S)
        assert str(cards) not in page
        assert {path.name for path in (cards / name / "figures").iterdir()} == {
            f"{figure}.{kind}"
            for figure in ("force", "alone", "effect")
            for kind in ("csv", "png", "svg")
        }


def test_another_loss_in_the_same_directory_is_refused(cards, capsys):
    before = contents(cards / "a")
    assert make("Coverage(0.02)", cards / "a") == 2
    assert "has runs with another loss own" in capsys.readouterr().err
    assert contents(cards / "a") == before


def test_a_wrong_loss_is_refused_before_anything_is_trained(tmp_path, capsys):
    (tmp_path / "wrong.py").write_text(WRONG)
    target = f"{tmp_path / 'wrong.py'}:Wrong"
    assert cli.main(["check-loss", target]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "wrong sign" in told.err
    assert cli.main(["loss-card", target, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == told.err
    assert not (tmp_path / "out").exists()


def test_check_loss_prints_the_checks(capsys):
    assert cli.main(["check-loss", "mlpspec.losses:WeightDecay"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("WeightDecay() passes\n")
    assert re.search(r"^ok +gradient +", told, re.M)


def test_names():
    assert card.name_of(HullBarrier()) == "hull_barrier"
    assert card.name_of(HullBarrier(), "Mine-2") == "Mine-2"
    with pytest.raises(mlpspec.InputError, match="the name is 'a/b'"):
        card.name_of(HullBarrier(), "a/b")
    for name in ("NA", "NULL", "NaN", "-nan", "None", ""):
        with pytest.raises(mlpspec.InputError, match=f"the name is '{name}', which pandas reads"):
            card.name_of(HullBarrier(), name)
    assert card.name_of(HullBarrier(), "Null") == "Null"
