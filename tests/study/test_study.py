import subprocess
import sys

import numpy as np
import pytest

from mlpspec import studies
from mlpspec.errors import InputError
from mlpspec.study.run import SETTINGS, Run
from mlpspec.study.study import Study
from mlpspec.study.subsets import canonical_losses, subsets

# Two change no result, the others are of files (tests/test_problem.py).
NOT_HERE = ("record_every", "record", "columns", "scaling", "separator", "decimal")


def test_the_paper_grid():
    runs = studies.paper().runs
    assert len(runs) == 480
    assert len({run.key for run in runs}) == 480
    assert {run.n_samples for run in runs} == {3, 5, 10, 20, 50, 100}
    assert {run.seed for run in runs} == set(range(10))
    assert len({run.losses for run in runs}) == 8


def test_the_other_named_studies():
    sweep = studies.tau_sweep()
    assert len(sweep.runs) == 2 * 4 * 13 * 10
    assert sweep.axes["temperature"][0] == 1e-5
    assert sweep.axes["temperature"][-1] == 10
    assert {run.label for run in sweep.runs} == {"coverage", "separation"}
    confirm = studies.confirm()
    assert len(confirm.runs) == 48 * 100 * 2
    assert {run.seed for run in confirm.runs} == set(range(100, 200))
    assert {run.steps for run in confirm.runs} == {3000, 10000}
    assert all(name == describe().name for name, describe in studies.STUDIES.items())


def test_keys_are_fixed_for_good():
    """A key that changes here orphans every stored result: raise KEY_VERSION knowingly."""
    assert Run().key == "dc7bb7477c92cb54"
    run = Run(losses=("overlap", "coverage"), n_samples=100, seed=9, temperature=1e-5)
    assert run.key == "c6d674a9ea53e2f8"


def test_keys_are_the_same_in_another_process():
    code = "from mlpspec.study.run import Run; print(Run(losses='coverage', weight=0.3).key)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == Run(losses=("coverage",), weight=0.3).key


def test_keys_know_types_not_spellings():
    spelled = Run(losses="overlap+coverage", n_samples="10", weight="1e-1", seed=np.int64(3))
    assert spelled == Run(losses=("coverage", "overlap"), n_samples=10, weight=0.1, seed=3)
    assert spelled.key == Run(losses=("coverage", "overlap"), seed=3).key
    assert Run(weight=-0.0).key == Run(weight=0.0).key
    assert spelled.label == "coverage+overlap"


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in NOT_HERE])
def test_every_setting_is_in_the_key(name):
    other = {
        "losses": ("overlap",),
        "weight_unit": "force",
        "temperature_unit": "spacing",
        "initializer": "standard_normal",
        "start": "placebo",
        "optimizer": "adam(beta2=0.99)",
        "schedule": "cosine",
        "early_stopping": "plateau",
        "compress": "quantise(bits=4)",
        "warmup": 0.1,
        "losses_from": 0.1,
        "losses_until": 0.9,
        "dropout": 0.5,
        "deactivation": 0.5,
        "dtype": "float32",
        "neuron": "radial",
        "target": "random",
        "dataset": "grid",
        "coverage_minimum": "hard",
        "separation_reduction": "sum",
        "overlap_reduction": "neuron",
    }
    value = other[name] if name in other else (SETTINGS[name].default or 1) * 2 + 1
    assert Run(**{name: value}).key != Run().key


def test_a_setting_of_later_is_in_the_key_only_where_it_says_something():
    assert Run(start="start").key == Run().key
    same = Run(temperature=0.5, separation_temperature=0.5)
    assert same == Run(temperature=0.5)
    assert same.key == Run(temperature=0.5).key
    assert Run(separation_temperature=0.5).key != Run(temperature=0.5).key
    assert "start" not in studies.paper().identity["settings"]
    assert studies.placebo().identity["settings"]["start"] == "placebo"


def test_what_cannot_change_a_result_is_not_in_the_key():
    assert Run(record_every=10).key == Run(record="log").key == Run().key


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("n_samples", 1, "n_samples is 1; it must be at least 2"),
        ("n_samples", True, "n_samples is True; it must be a whole number"),
        ("steps", -1, "steps is -1; it must be at least 0"),
        ("steps", 2.5, "steps is 2.5; it must be a whole number"),
        ("steps", "1e3", "steps is '1e3'; it must be a whole number"),
        ("seed", -1, "seed is -1; it must be at least 0"),
        ("temperature", 0, "temperature is 0; it must be above 0"),
        ("temperature", "warm", "temperature is 'warm'; it must be a finite number"),
        ("weight", -0.1, "weight is -0.1; it must be at least 0"),
        ("weight", np.nan, "weight is nan; it must be a finite number"),
        ("learning_rate", "inf", "learning_rate is 'inf'; it must be a finite number"),
        ("seed", 2**63, "it must be below 2**63"),
        ("losses", 5, "losses is 5; it must be a tuple of names"),
        ("n_hidden", 0, "n_hidden is 0; it must be at least 1"),
        ("losses", ("covrage",), "unknown loss 'covrage'; did you mean 'coverage'?"),
        ("losses", "overlap+overlap", "each may occur once"),
        ("optimizer", "adm", "unknown optimizer 'adm'; did you mean 'adam'?"),
        ("dtype", "int8", "unknown dtype 'int8'; known: float32, float64"),
        ("initializer", "steeep", "unknown initializer 'steeep'; did you mean 'steep'?"),
        ("initializer", 3, "initializer is 3; it must be a text like inputs(slope=4)"),
        ("initializer", "steep(4)", "'steep(4)' has 1 arguments; steep has 0"),
        ("initializer", "inputs(slop=4)", "unknown argument of inputs 'slop'; did you mean"),
        ("initializer", "inputs(0)", "inputs has slope=0; it must be above 0 and at most 1e6"),
        ("initializer", "inputs(slope=1e7)", "slope=1e+07; it must be above 0 and at most 1e6"),
        ("initializer", "inputs('a')", "has slope='a'; it must be a finite number"),
        ("neuron", "rigde", "unknown neuron 'rigde'; did you mean 'ridge'?"),
        ("neuron", 3, "neuron is 3; it must be a text like ridge(epsilon=1e-4)"),
        ("neuron", "ridge(-1)", "ridge has epsilon=-1; it must be at least 0"),
        ("neuron", "ridge(1e999)", "has epsilon=inf; it must be a finite number"),
        ("neuron", "radial(1e-4)", "'radial(1e-4)' has 1 arguments; radial has 0"),
        ("neuron", "radial(epsilon=0)", "gives epsilon; radial has no arguments"),
    ],
)
def test_bad_values_are_named(field, value, message):
    with pytest.raises(InputError) as error:
        Run(**{field: value})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("field", "default", "written", "other", "canonical"),
    [
        ("neuron", "ridge", "ridge(1e-8)", "ridge( 1e-4 )", "ridge(epsilon=0.0001)"),
        ("initializer", "inputs", "inputs(slope=1)", "inputs(4)", "inputs(slope=4.0)"),
    ],
)
def test_numbers_of_a_choice_at_their_defaults_are_no_other_run(
    field, default, written, other, canonical
):
    assert Run(**{field: default}) == Run(**{field: written})
    assert getattr(Run(**{field: other}), field) == canonical
    assert Run(**{field: other}).key == Run(**{field: canonical}).key
    assert Run(**{field: other}).key != Run(**{field: default}).key


def test_labels_are_in_canonical_order():
    assert canonical_losses(["overlap", "coverage"]) == ("coverage", "overlap")
    assert canonical_losses("baseline") == canonical_losses("") == ()
    assert Run().label == "baseline"
    assert subsets("ab") == ((), ("a",), ("b",), ("a", "b"))


def test_product_of_axes():
    study = Study("mine", {"seed": (4, 2), "temperature": (0.1, 0.2)}, {"steps": 7})
    assert [(run.seed, run.temperature) for run in study.runs] == [
        (4, 0.1),
        (4, 0.2),
        (2, 0.1),
        (2, 0.2),
    ]
    assert all(run.steps == 7 for run in study.runs)
    assert Study.from_json(study.to_json()) == study


def test_replace():
    study = studies.paper().replace(seed=range(3), n_samples=(3, 5), steps="50")
    assert len(study.runs) == 8 * 2 * 3
    assert study.runs[0].steps == 50
    assert studies.tau_sweep().replace(temperature=0.5).axes["temperature"] == (0.5,)
    assert study.replace(steps=3000).identity == studies.paper().identity


def test_identity_leaves_out_what_may_be_extended():
    base = studies.paper().identity
    assert studies.paper().replace(seed=range(99), n_samples=(7,)).identity == base
    assert studies.paper().replace(record_every=5).identity == base
    assert studies.paper().replace(steps=5).identity != base
    assert studies.tau_sweep().replace(temperature=1.0).identity == studies.tau_sweep().identity


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a/b", {}), "use letters, digits"),
        (("", {}), "use letters, digits"),
        (("a", {"sed": (1,)}), "unknown setting 'sed'; did you mean 'seed'?"),
        (("a", {"seed": ()}), "has no values"),
        (("a", {"seed": (1, 1)}), "repeats a value"),
        (("a", {"steps": (1,)}, {"steps": 2}), "both an axis and a setting"),
        (("a", {"n_samples": (1,)}), "at least 2"),
        (("a", {"losses": "coverage"}), "it must be a tuple of values"),
        (("a", [("seed", (1,))]), "give dicts"),
        (("a", {"record_every": (1, 2)}), "changes no result and cannot be an axis"),
    ],
)
def test_bad_studies_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        Study(*arguments)


def test_trajectories_need_no_more_rows_than_the_study(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n2,1\n3,5\n")
    changes = {"n_samples": (2, 3), "dataset": f"file:{path}", "columns": "a"}
    own = studies.companion("trajectories", changes)
    assert {run.n_samples for run in own.runs} == {3}
    assert studies.companion("trajectories", changes | {"columns": "a,b"}) is None
    assert studies.companion("trajectories", {"n_samples": (3,)}).runs[0].n_samples == 20
