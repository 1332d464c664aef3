"""For each claim, tables doctored to hold, to fail and to be mixed."""

import numpy as np
import pytest
from helpers import LABELS, table

from mlpspec.analysis import judging
from mlpspec.analysis.claims import CLAIMS, COLLAPSE, Evidence
from mlpspec.analysis.comparisons import Grid
from mlpspec.analysis.judging import judge_calibrated
from mlpspec.metrics.statistics import sign_flip

SIZES = (3, 10, 50)
TAUS = (1e-5, 0.01, 10.0)

# A world in which everything is as claimed.
GOOD = {
    "reconstruction_error": {
        "baseline": 0.5,
        "coverage": 0.1,
        "separation": None,
        "overlap": 2.0,
        "coverage+separation": 0.6,
        "coverage+overlap": 2.0,
        "separation+overlap": 3.0,
        "coverage+separation+overlap": 3.0,
    },
    "usage_ratio": {"coverage": 0.9},
    "outside_fraction": {"coverage": 0.0, "overlap": 0.7, "coverage+overlap": 0.6},
    "expelled_fraction": {"coverage": 0.0, "overlap": 0.7, "coverage+overlap": 0.6},
    "fit_fvu": {},
    "spread_ratio": {},
}
ELSE = {
    "usage_ratio": 0.5,
    "outside_fraction": 0.3,
    "expelled_fraction": 0.3,
    "fit_fvu": 1e-4,
    "spread_ratio": 1.0,
}
SCALE = {"fit_fvu": 1e-6}


def grid(seeds, change=None, seed=0):
    """The good world, with ``change(name, label, size)`` in place of some values."""
    rng = np.random.default_rng(seed)

    def values(label, size, _):
        found = {}
        for name in GOOD:
            value = GOOD[name].get(label, ELSE.get(name))
            if name == "reconstruction_error" and label == "separation":
                value = 0.3 if size == 10 else 0.9  # mixed
            changed = change(name, label, size) if change else None
            value = value if changed is None else changed
            found[name] = abs(value + SCALE.get(name, 0.01) * rng.normal())
        found["outside_fraction"] = min(found["outside_fraction"], 1.0)
        found["distinct_usage_ratio"] = found["usage_ratio"]
        return found

    return Grid(table(values, sizes=SIZES, seeds=seeds))


def sweep(seeds, change=None):
    rng = np.random.default_rng(1)
    tables = []
    for tau in TAUS:

        def values(label, size, _, tau=tau):
            out = 0.9 if tau > 1 and label == "separation" else 0.3
            spread = 0.01 if tau > 1 and label == "coverage" else 1.0
            found = {"outside_fraction": out, "spread_ratio": spread}
            for name in found:
                changed = change(name, label, size, tau) if change else None
                found[name] = found[name] if changed is None else changed
                found[name] += 0.001 * rng.normal()
            return found

        part = table(values, ["coverage", "separation"], SIZES, seeds, temperature=tau)
        tables.append(part)
    return Grid({name: np.concatenate([t[name] for t in tables]) for name in tables[0]})


def evidence(seeds, change=None, swept=None, seed=0):
    full = grid(seeds, change, seed)
    blank = np.ones(seeds)
    nulls = {"critical": 0.6, "grid": 0.8, "other": 0.9, "random": 0.55}
    references = {
        (name, size): (value * blank, full.seeds) for name, value in nulls.items() for size in SIZES
    }
    return Evidence(full, {size: 2 / size for size in SIZES}, sweep(seeds, swept), references)


def at(name, label, size, value):
    """A change of one value in one place, or at all sizes."""

    def change(*place):
        wanted = (name, label) if size is None else (name, label, size)
        return value if place[: len(wanted)] == wanted else None

    return change


def both(*changes):
    def change(*place):
        return next((v for v in (c(*place) for c in changes) if v is not None), None)

    return change


def verdict(verdicts, claim, basis=None):
    (found,) = [v for v in verdicts if v.claim == claim and basis in (None, v.basis)]
    return found


def judge_stated(evidence, *basis, **options):
    """As stated, without how often the verdict repeats, which takes 200 times as long."""
    return judging.judge_stated(evidence, *basis, repeats=0, **options)


def test_the_good_world_holds():
    for basis in ("means", "medians"):
        for found in judging.judge_stated(evidence(10), basis):
            assert found.verdict == "holds", found
            assert found.repeat == 1.0
    world = evidence(100)
    for found in judge_calibrated([world, world]):
        assert found.verdict == "holds", found
        assert found.p_holm < 0.05


# Where the claims are contradicted: significantly at one size, or (mixed) a little at one.
FAILS = {
    "C1": at("reconstruction_error", "baseline", 10, 0.01),
    "C2": at("usage_ratio", "baseline", 10, 1.0),
    "C3": at("reconstruction_error", "separation", None, 0.9),
    "C4": at("reconstruction_error", "overlap", 10, 0.2),
    "C5": at("fit_fvu", "overlap", 10, 0.2),
    "C6": at("outside_fraction", "overlap", 10, 0.1),
    "C7": at("outside_fraction", "coverage", 10, 0.5),
}
SHARES = {
    "C6": at("expelled_fraction", "overlap", 10, 0.1),
    "C7": at("expelled_fraction", "coverage", 10, 0.5),
}


@pytest.mark.parametrize("claim", FAILS)
def test_a_contradicted_claim_fails(claim):
    assert verdict(judge_stated(evidence(10, FAILS[claim])), claim).verdict == "fails"
    world = evidence(100, SHARES.get(claim, FAILS[claim]))
    found = verdict(judge_calibrated([world]), claim)
    if claim == "C3":
        assert found.verdict == "fails"
        return
    # Of three sizes the claim holds at two, and is contradicted where the world was changed.
    assert found.verdict == "in part"
    assert (found.met_at, found.against_at) == ("3 50", "10")
    assert found.reading.startswith("at 2 of 3 sizes (N = 3, 50); contradicted at N = 10")


@pytest.mark.parametrize(("claim", "name"), [("C1", "reconstruction_error"), ("C2", "usage_ratio")])
def test_a_claim_that_is_contradicted_at_every_size_fails_calibrated(claim, name):
    world = evidence(100, at(name, "baseline", None, {"C1": 0.01, "C2": 1.0}[claim]))
    found = verdict(judge_calibrated([world]), claim)
    assert found.verdict == "fails"
    assert found.reading.startswith("at no N; contradicted at all 3 N")


def test_the_wider_reading_of_c1_asks_for_some_subset_with_coverage():
    # Coverage with separation is best: C1 is not met, C1b is.
    change = at("reconstruction_error", "coverage+separation", None, 0.02)
    judged = judge_stated(evidence(10, change))
    assert [verdict(judged, claim).verdict for claim in ("C1", "C1b")] == ["fails", "holds"]
    # The baseline is better than all of them.
    judged = judge_stated(evidence(10, at("reconstruction_error", "baseline", None, 0.001)))
    assert [verdict(judged, claim).verdict for claim in ("C1", "C1b")] == ["fails", "fails"]
    # By hand: the four subsets without coverage against the one with the lowest mean.
    demands = next(claim for claim in CLAIMS if claim.name == "C1b").demands(evidence(5), False)
    world = evidence(5).runs
    for demand in demands:
        active = [label for label in world.labels if "coverage" in label]
        means = {
            label: world.values((demand.size,), label, "reconstruction_error").mean()
            for label in active
        }
        best = world.values((demand.size,), min(means, key=means.get), "reconstruction_error")
        assert (demand.smaller == best).all()
        assert "coverage" not in demand.what
    assert len(demands) == 3 * 4


# Noise so wide that nothing is significant, with the means turned round at one size.
MIXED = {
    "C1": ("reconstruction_error", "baseline", "coverage"),
    "C2": ("usage_ratio", "coverage", "baseline"),
    "C4": ("reconstruction_error", "overlap", "baseline"),
    "C5": ("fit_fvu", "coverage", "coverage+overlap"),
    "C6": ("outside_fraction", "overlap", "baseline"),
    "C7": ("outside_fraction", "baseline", "coverage"),
}


@pytest.mark.parametrize("claim", MIXED)
def test_a_claim_that_is_unmet_at_one_size_by_chance_is_mixed(claim):
    name, lower, higher = MIXED[claim]
    world = evidence(10)
    matrix = world.grid._matrix
    column = world.grid.names.index(name)
    scale = 0.02 if claim == "C5" else 0.3
    swing = scale * np.array([1, -1] * 5)
    matrix[(10,), lower][:, column] = 0.5 * scale + swing
    matrix[(10,), higher][:, column] = 0.5 * scale + 0.05 * scale - swing
    assert verdict(judge_stated(world), claim).verdict == "mixed"


def test_a_sweep_without_expulsion_or_collapse_fails():
    world = evidence(10, swept=at("outside_fraction", "separation", None, 0.3))
    assert verdict(judge_stated(world), "C8").verdict == "fails"
    assert verdict(judge_calibrated([world]), "C8").verdict == "fails"
    theory = {"claims": [COLLAPSE]}
    assert verdict(judge_stated(world, **theory), "T1").verdict == "holds"
    world = evidence(10, swept=at("spread_ratio", "coverage", None, 1.0))
    assert verdict(judge_stated(world, **theory), "T1").verdict == "fails"


def test_an_outlier_that_turns_a_mean_round_contradicts_nothing():
    """Coverage is better in all seeds but one, where it is so bad that its mean is worse."""
    world = evidence(30)
    column = world.grid.names.index("reconstruction_error")
    world.grid._matrix[(10,), "coverage"][0, column] = 1000.0
    found = verdict(judge_stated(world), "C1")
    assert (found.verdict, found.contradicted, found.met_at) == ("mixed", 0, "3 50")
    assert verdict(judge_stated(world, "medians"), "C1").verdict == "holds"


def test_separation_that_expels_at_the_nominal_temperature_is_not_as_claimed():
    world = evidence(10, at("outside_fraction", "separation", None, 0.9))
    found = verdict(judge_stated(world), "C8")
    assert found.verdict == "fails"
    assert found.weakest.endswith("nominal tau")


def test_a_sweep_that_expels_at_every_temperature_fails():
    world = evidence(10, swept=at("outside_fraction", "separation", None, 0.9))
    assert verdict(judge_stated(world), "C8").verdict == "fails"


def test_what_wears_off_is_transient():
    early = evidence(100)
    late = evidence(100, at("usage_ratio", "baseline", None, 1.0))
    found = verdict(judge_calibrated([early, late]), "C2")
    assert found.verdict == "transient"
    assert "at all 3 N; contradicted at no N" in found.reading
    assert "after the most steps at no N" in found.reading
    found = verdict(judge_calibrated([late, early]), "C2")
    assert found.verdict == "fails"
    assert "after the most steps at all 3 N" in found.reading


def test_a_sweep_is_trained_once_so_that_nothing_about_it_wears_off():
    world, late = evidence(100), evidence(100, at("reconstruction_error", "coverage", None, 1.0))
    judged = judge_calibrated([world, late])
    assert "after the most steps" in verdict(judged, "C1").reading
    found = verdict(judged, "C8")
    assert found.verdict == "holds"
    assert "after the most steps" not in found.reading


def test_a_subset_that_the_same_seeds_chose_is_tested_for_all_that_could_have_been():
    """The p of C1b is that of the best of four subsets, times four (Bonferroni)."""
    world = evidence(12)
    demands = next(claim for claim in CLAIMS if claim.name == "C1b").demands(world, True)
    alone = [sign_flip((d.smaller - d.larger + d.margin)[:, None], "less")[0] for d in demands]
    found = verdict(judge_calibrated([world]), "C1b")
    assert max(alone) == 2.0**-12
    assert found.p == pytest.approx(4 * max(alone), rel=1e-12)


def test_a_difference_without_substance_does_not_hold():
    # Significant, but a hundredth of the margin: the interval falls short of it.
    slight = both(
        at("usage_ratio", "coverage", None, 0.501), at("usage_ratio", "baseline", None, 0.5)
    )
    found = verdict(judge_calibrated([evidence(100, slight)]), "C2")
    assert found.verdict == "fails"


def test_too_few_seeds_leave_it_undetermined():
    # Four seeds cannot reach 0.05 with a one-sided sign-flip test: 1 / 16.
    world = evidence(4)
    for claim in ("C1", "C2", "C4"):
        assert verdict(judge_calibrated([world]), claim).verdict == "undetermined"


def test_missing_runs_are_untested():
    for found in judge_stated(Evidence()):
        assert found.verdict == "untested"
    for found in judge_calibrated([]):
        assert found.verdict == "untested"
        assert "then mlpspec report DIR" in found.reading
    assert "run confirm --out DIR/confirm" in judge_calibrated([])[0].reading
    part = Grid(table(lambda *_: {"reconstruction_error": 1.0}, LABELS[:5], SIZES))
    assert verdict(judge_stated(Evidence(part)), "C1").verdict == "untested"


@pytest.mark.slow
def test_pure_noise_passes_no_calibrated_claim():
    """Placebo arms: all subsets draw from one distribution, whatever it is."""
    rng = np.random.default_rng(7)
    names = [*GOOD, "distinct_usage_ratio"]
    for repeat in range(100):
        draw = rng.standard_cauchy if repeat % 2 else rng.normal

        def values(*_, draw=draw):
            return {name: abs(draw()) for name in names}

        def swept_value(*_, draw=draw):
            return abs(draw())

        runs = table(values, sizes=(5, 20), seeds=30)
        full = Grid(runs)
        swept = sweep(30, swept_value)
        noise = [np.abs(draw(size=30)) for _ in range(4)]
        sizes = (5, 20)
        references = {
            (name, size): (values, full.seeds)
            for name, values in zip(("other", "grid", "random"), noise[1:], strict=True)
            for size in sizes
        }
        world = Evidence(full, {size: 2 / size for size in sizes}, swept, references)
        verdicts = judge_calibrated([world])
        assert [v.claim for v in verdicts if v.verdict == "holds"] == []


def test_every_claim_says_what_it_demands():
    names = ["C1", "C1b", *(f"C{n}" for n in range(2, 9))]
    assert [claim.name for claim in CLAIMS] == names
    assert all(claim.demands.__doc__ for claim in (*CLAIMS, COLLAPSE))
