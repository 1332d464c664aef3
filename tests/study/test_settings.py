"""What each setting affects is declared with it; groups of runs follow from that."""

import numpy as np
import pytest

from mlpspec.errors import InputError
from mlpspec.network.forward import forward
from mlpspec.network.neurons import NEURONS
from mlpspec.running.planning import TRAINED
from mlpspec.running.worker import PROBLEM
from mlpspec.study.problem import data_of, losses_of, objective_of, start_of
from mlpspec.study.run import SETTINGS, Run, affecting
from mlpspec.study.settings import AFFECTED

ANOTHER = {
    "losses": "coverage",
    "n_samples": 6,
    "seed": 1,
    "steps": 5,
    "learning_rate": 0.1,
    "weight": 0.3,
    "fit_weight": 2.0,
    "weight_unit": "force",
    "temperature": 0.2,
    "temperature_unit": "spacing",
    "separation_temperature": 0.05,
    "coverage_minimum": "hard",
    "separation_reduction": "neuron",
    "overlap_reduction": "sum",
    "n_hidden": 4,
    "n_inputs": 2,
    "neuron": "radial",
    "initializer": "standard_normal",
    "optimizer": "gradient_descent",
    "schedule": "cosine",
    "warmup": 0.1,
    "early_stopping": "plateau",
    "losses_from": 0.5,
    "losses_until": 0.5,
    "l1": 0.1,
    "l2": 0.1,
    "dropout": 0.5,
    "deactivation": 0.2,
    "jitter": 0.1,
    "target_noise": 0.1,
    "adversarial": 0.1,
    "compress": "prune_height",
    "target": "identity",
    "start": "placebo",
    "dataset": "uniform(0, 1)",
    "shift": 1.5,
    "dtype": "float32",
    "record_every": 1,
    "record": "log",
}
OF_FILES = {"columns": "b,a", "scaling": "common", "separator": "bar", "decimal": "comma"}

DECLARED = {
    "losses": "objective",
    "n_samples": "data start objective",
    "seed": "data start",
    "steps": "training",
    "learning_rate": "training",
    "weight": "objective",
    "fit_weight": "objective",
    "weight_unit": "objective",
    "temperature": "objective",
    "temperature_unit": "objective",
    "separation_temperature": "objective",
    "coverage_minimum": "objective",
    "separation_reduction": "objective",
    "overlap_reduction": "objective",
    "n_hidden": "start",
    "n_inputs": "data start objective",
    "neuron": "start training",
    "initializer": "start",
    "optimizer": "training",
    "schedule": "training",
    "warmup": "training",
    "early_stopping": "training",
    "losses_from": "training",
    "losses_until": "training",
    "l1": "objective",
    "l2": "objective",
    "dropout": "training",
    "deactivation": "training",
    "jitter": "training",
    "target_noise": "training",
    "adversarial": "training",
    "compress": "compression",
    "target": "data",
    "start": "start",
    "dataset": "data start objective",
    "columns": "data start",
    "scaling": "data start",
    "separator": "data start",
    "decimal": "data start",
    "shift": "data start objective",
    "dtype": "data start objective training compression recording",
    "record_every": "recording",
    "record": "recording",
}


def test_every_setting_declares_what_it_affects():
    assert {name: " ".join(setting.affects) for name, setting in SETTINGS.items()} == DECLARED
    assert all(set(words.split()) <= {*AFFECTED} and words for words in DECLARED.values())


def test_groups_follow_from_the_declarations():
    together = {"steps", "learning_rate", "neuron", "optimizer", "dtype", "record_every"}
    together |= {"schedule", "warmup", "early_stopping", "losses_from", "losses_until"}
    together |= {"dropout", "deactivation", "jitter", "target_noise", "adversarial"}
    together |= {"record"}
    assert {*TRAINED} == together
    problem = {"n_samples", "seed", "n_hidden", "n_inputs", "neuron", "initializer", "target"}
    problem |= {"start", "dataset", "columns", "scaling", "separator", "decimal", "shift", "dtype"}
    assert {*PROBLEM} == {*affecting("data", "start")} == problem
    unchanging = [name for name in SETTINGS if not SETTINGS[name].changes_result]
    assert unchanging == ["record_every", "record"]


ALL = "coverage+separation+overlap"


@pytest.fixture
def bases(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2.5\n2,9\n3,4\n5,7\n8,0\n9,5\n")
    of_file = {"dataset": f"file:{path}", "columns": "a,b", "initializer": "inputs"}
    common = {"n_samples": 5, "losses": ALL, "temperature": 0.1}
    return common, common | {"temperature_unit": "spacing"}, common | of_file


def observed(run, other):
    """What two runs differ in, of data, start and objective."""
    parts = set()
    try:
        pairs = zip(data_of(run), data_of(other), strict=True)
        if any(a.tobytes() != b.tobytes() for a, b in pairs):
            parts.add("data")
    except InputError:  # the one file cannot be read in both ways
        parts.add("data")
    try:
        if start_of(run).tobytes() != start_of(other).tobytes():
            parts.add("start")
    except InputError:
        parts.add("start")
    # Both objectives at the same place.
    params = NEURONS["ridge"].unflatten(np.linspace(-1.0, 1.0, 16)[None], 1)
    x, y = np.linspace(-1.0, 1.0, 5)[None, :, None], np.ones((1, 5))
    first, second = (
        objective_of(r, losses_of(r), lambda: forward(params, x, y)).value_and_grad(params, x, y)[0]
        for r in (run, other)
    )
    return parts | ({"objective"} if first != second else set())


@pytest.mark.parametrize("name", SETTINGS)
def test_declarations_are_true(bases, name):
    """A change of a setting changes what it declares, and nothing else."""
    value = (ANOTHER | OF_FILES)[name]
    parts = set()
    for base in bases:
        if ("columns" in base) == (name in OF_FILES):
            parts |= observed(Run(**base), Run(**base | {name: value}))
    assert parts <= {*SETTINGS[name].affects}
    assert {*SETTINGS[name].affects} & {"data", "start"} == parts - {"objective"}
    if SETTINGS[name].affects == ("objective",):
        assert parts == {"objective"}
