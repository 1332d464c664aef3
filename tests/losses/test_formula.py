"""Losses that are given by their formulas alone: derivatives, faults, and their way to a study."""

import sys
from dataclasses import dataclass

import autograd.numpy
import numpy as np
import pytest
from helpers import central_difference, objective, problem, same_bits

import mlpspec
from mlpspec.errors import InputError, LossError
from mlpspec.losses import Coverage, Formula, check_loss, formula
from mlpspec.losses.objective import Objective
from mlpspec.running.progress import progress_of
from mlpspec.running.worker import pack, train_packed
from mlpspec.study.extensions import define, load_loss
from mlpspec.training.compiled import RidingForward

SOURCE = """
from dataclasses import dataclass
import numpy as np
import mlpspec

@dataclass(frozen=True)
class Anchored(mlpspec.Formula):
    scale: float = 1.0

    def value(self, net):
        gap = net.prototypes[:, None] - net.x
        return self.scale * np.mean(np.min(np.sum(gap**2, axis=2), axis=1))
"""


@dataclass(frozen=True)
class SoftCoverage(Formula):
    tau: float = 0.1
    np = np

    def value(self, net):
        d = self.np.sum((net.x[:, None] - net.prototypes) ** 2, axis=2)
        return -self.tau * self.np.mean(self.np.log(self.np.mean(np.exp(-d / self.tau), axis=1)))


@dataclass(frozen=True)
class OwnArrays(SoftCoverage):
    np = autograd.numpy


@dataclass(frozen=True)
class Overlapping(Formula):
    def value(self, net):
        h, pairs = net.hidden, net.hidden.shape[1] * (net.hidden.shape[1] - 1)
        return np.mean(np.sum(h, axis=1) ** 2 - np.sum(h**2, axis=1)) / pairs


@dataclass(frozen=True)
class Everything(Formula):
    def value(self, net):
        v, f = net.output_weight, net.output
        return (
            np.mean(np.square(v))
            + np.einsum("kd,kd->", net.prototypes, net.prototypes)
            + np.maximum(f, net.y).sum()
            + np.linalg.norm(f - net.y) ** 2
            + np.concatenate([net.response, v]).max()
            + np.where(f > 0.0, f, 0.0).sum()
            + np.stack([net.output_bias, net.output_bias**2]).sum()
            + np.tanh(net.squared_response).mean()
            + sum(abs(p).sum() for p in net.prototypes)
        )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "anchored.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("neuron", ["ridge", "radial"])
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_the_derivatives_are_those_of_the_losses_by_hand(neuron, n_inputs):
    net = mlpspec.forward(*problem(3, 5, n_inputs, 4, neuron))
    by_hand = objective(("overlap",)).terms["overlap"][1], Coverage(0.1)
    for own, other in zip((Overlapping(), SoftCoverage(0.1)), by_hand, strict=True):
        value, partials = own.value_and_grad(net)
        expected, wanted = other.value_and_grad(net)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(own.values(net), expected, rtol=1e-12)
        found = mlpspec.backward(net, partials).flatten()
        np.testing.assert_allclose(
            found, mlpspec.backward(net, wanted).flatten(), rtol=1e-9, atol=1e-12
        )


def test_numpy_serves_as_well_as_the_arrays_of_autograd():
    net = mlpspec.forward(*problem(2, 4, 2))
    (value, partials), (other, wanted) = (
        loss.value_and_grad(net) for loss in (SoftCoverage(), OwnArrays())
    )
    assert same_bits(value, other)
    assert same_bits(partials["prototypes"], wanted["prototypes"])


def test_everything_that_can_be_read_is_differentiated():
    params, x, y = problem(2, 4, 2, 3)
    net = mlpspec.forward(params, x, y)
    _, partials = Everything().value_and_grad(net)
    names = {"output", "response", "squared_response", "prototypes"}
    assert set(partials) == names | {"output_weight", "output_bias"}

    def values(flat):
        moved = type(params).unflatten(flat, 2)
        return Everything().values(mlpspec.forward(moved, x, y))

    expected = central_difference(values, params.flatten(), step=1e-4)  # kinks are near
    np.testing.assert_allclose(mlpspec.backward(net, partials).flatten(), expected, rtol=1e-6)


def test_what_is_not_read_is_not_differentiated_nor_computed(monkeypatch):
    params, x, y = problem(2, 4)
    read = []
    monkeypatch.setattr(RidingForward, "hidden", property(lambda self: read.append("hidden")))
    own = Objective({"soft": (0.1, SoftCoverage())})
    mlpspec.train(own, params, x, y, steps=2, engine="compiled")
    assert not read
    assert set(SoftCoverage().value_and_grad(mlpspec.forward(params, x, y))[1]) == {"prototypes"}


def test_single_precision_stays_single():
    params, x, y = problem(2, 4)
    single = type(params)(*(array.astype(np.float32) for array in vars(params).values()))
    value, partials = SoftCoverage().value_and_grad(mlpspec.forward(single, x, y))
    assert value.dtype == partials["prototypes"].dtype == np.float32


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return net.prototypes.sum(axis=0)", r"of shape \(1,\).*sum or mean is missing"),
        ("return None", "value returned None; expected one number"),
        ("return net.prototype.mean()", "did you mean 'prototypes'.*line 11: return net"),
        ("p = net.output; p[0] = 0; return p", "line 11: p = net.output.*np.where"),
        ("return np.nanmean(net.output)", "nanmean.*line 11.*autograd differentiates most"),
        ("return np.block([net.output]).sum()", "cannot differentiate numpy.block"),
        ("return np.median(net.output)", r"differentiate np\.median \(.*line 11.*; take np\.sort"),
        ("return np.quantile(net.output, 0.3)", r"differentiate np\.quantile .*; take np\.sort"),
        ("return np.unique(net.output).sum()", r"np\.unique .*; what counts has no derivative"),
        ("return np.histogram(net.output)[0].sum()", r"np\.histogram .*; what counts has no"),
        ("return np.interp(net.output, net.y, net.y).sum()", r"np\.interp .*; write its pieces"),
        (
            "return np.linalg.eigvalsh(np.outer(net.output, net.output)).sum()",
            r"np\.linalg\.eigvalsh .*; take np\.linalg\.eigh",
        ),
        ("return np.add.reduce(net.output)", r"np\.add \(reduce\) .*; take np\.sum"),
        ("q = np.zeros(1); q[0] = net.output[0]; return q[0]", "with a sequence.*make arrays anew"),
        ("p = net.output; p += 1.0; return p.sum()", "read-only .*line 11.*; make arrays anew"),
        ("return net.output.copy().sum()", "autograd follows has no copy .*NumPy's functions"),
        ("return float(net.output.sum())", r"float\(\) argument.*leave float\(\) out"),
        ("from scipy.special import erf; return erf(net.output).sum()", "erf .* not NumPy's: auto"),
    ],
)
def test_what_cannot_be_differentiated_is_one_line(file, body, message):
    head, method, _ = SOURCE.partition("net):\n")
    file.write_text(f"{head}{method}        {body}\n")
    with pytest.raises(LossError, match=message) as found:
        check_loss(load_loss(f"{file}:Anchored"))
    assert "\n" not in str(found.value)


def test_without_autograd_one_line_says_what_to_install(monkeypatch, file):
    formula._autograd.cache_clear()
    monkeypatch.setitem(sys.modules, "autograd", None)
    with pytest.raises(InputError, match=r"install mlpspec with its extra, mlpspec\[autodiff\]"):
        load_loss(f"{file}:Anchored")
    monkeypatch.undo()
    formula._autograd.cache_clear()


def test_a_formula_goes_where_losses_go(file, tmp_path, capsys):
    loss = load_loss(f"{file}:Anchored(scale=2)")
    definition = define("anchored", loss)
    assert definition.fields == (("scale", 2.0),)
    assert define("anchored", SoftCoverage()).source != definition.source  # of this very file
    file.write_text(SOURCE.replace("axis=1))", "axis=1)) / 2"))
    assert define("anchored", load_loss(f"{file}:Anchored(2)")).source != definition.source
    study = mlpspec.studies.paper().replace(n_samples=(4,), seed=(0, 1), steps=20)
    study = study.with_losses({"anchored": loss}, ["baseline", "coverage+anchored"])
    results = mlpspec.run_study(study, tmp_path / "one", 1, batch_size=1, progress=True)
    assert "anchored without a gradient of its own" in capsys.readouterr().err
    assert results.sessions[0]["autograd"]
    # As a worker does it, and in one batch.
    payload = pack(study, {}, results.sessions[0]["engine"])
    for record in train_packed(payload, study.runs):
        assert same_bits(record.params, results.params(record.run.key).flatten()[0])
    with progress_of(mlpspec.studies.paper(), [study.runs]):
        assert "gradient" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_formula_trains_from_the_command_line(file, mlpspec):
    status, out, err = mlpspec(
        *("run", "--only", "--loss", f"near={file}:Anchored", "--subsets", "pairs"),
        *("--sizes", "3,5", "--seeds", "0:2", "--set", "steps=50", "neuron=radial"),
        *("--jobs", "2", "--out", "r"),
    )
    assert (status, err.count("near without a gradient of its own")) == (0, 1), err
    assert "44 ok" in out
    assert mlpspec("check-loss", f"{file}:Anchored")[0] == 0
