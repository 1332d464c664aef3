"""Odd and hostile input: it is used as it is meant, or refused in one line; nothing in it runs."""

import csv
import io
import json
import os
import pickle
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

import mlpspec
from mlpspec.cli import command as cli
from mlpspec.cli import run, terminal
from mlpspec.cli.parser import parser
from mlpspec.errors import InputError
from mlpspec.store.database import CONTENT, FILE_NAME, checksum
from mlpspec.store.store import Store
from mlpspec.store.tables import read_csv, write_csv
from mlpspec.study.run import SETTINGS
from mlpspec.study.study import Study

TEXT = st.text(max_size=30)
NUMBERS = st.integers() | st.floats() | st.booleans() | st.none()
VALUES = st.recursive(
    NUMBERS | TEXT | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from([*SETTINGS, "nonsense", ""]) | TEXT


def checked(make):
    """Call ``make``; an `InputError` of one bearable line is an answer too."""
    try:
        return make()
    except InputError as error:
        told = terminal.line(str(error))
    assert 0 < len(told) < 700
    assert told.isprintable()
    return None


def same(study):
    assert Study.from_json(study.to_json()) == study
    assert json.loads(json.dumps(study.identity)) == study.identity
    return study


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, TEXT | NUMBERS.map(str)), max_size=4))
def test_any_set_is_a_study_or_one_line(pairs):
    items = [f"{name}={value}" for name, value in pairs]
    parsed = parser().parse_args(["run"])
    parsed.settings = items
    checked(lambda: same(run.chosen_study(parsed)[0]))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(TEXT | st.from_regex(r"\A-?\d{0,5}[:,]-?\d{0,3}\Z"), st.sampled_from(["seeds", "sizes"]))
def test_any_seeds_and_sizes_are_a_study_or_one_line(text, option):
    parsed = parser().parse_args(["run"])
    setattr(parsed, option, text)
    checked(lambda: run.chosen_study(parsed))


@settings(derandomize=True, max_examples=200, deadline=None)
@given(VALUES, VALUES | st.dictionaries(NAMES, VALUES, max_size=3), VALUES | st.just({}))
def test_any_description_is_a_study_or_one_line(name, axes, fixed):
    checked(lambda: same(Study(name, axes, fixed)))
    checked(lambda: same(Study("s", axes, {})))
    checked(lambda: same(Study("s", {}, fixed)))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5), TEXT.filter(lambda name: "\x00" not in name))
def test_text_in_tables_is_no_formula_and_reads_back(tmp_path_factory, texts, name):
    texts = ["=1+1", *(t.replace("\x00", "") for t in texts)]
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    write_csv(path, {name: texts, "number": np.arange(len(texts)) - 1.5})
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    for cell in (rows[0][0], *(row[0] for row in rows[1:])):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert rows[1][1] == "-1.5"
    name = name.replace("\r", "\n")
    if name != "number":
        table = read_csv(path)
        assert table["number"].tolist() == (np.arange(len(texts)) - 1.5).tolist()
        assert table[name].tolist() == [t.replace("\r", "\n") or "nan" for t in texts]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    out = tmp_path_factory.mktemp("odd") / "plain"
    study = mlpspec.studies.paper().replace(seed=(0,), n_samples=(3,), steps=5)
    mlpspec.run_study(study, out, n_jobs=1)
    return out


def forged(source, place, changes):
    """Copy a store with other content in it and checksums that fit, as a forger would."""
    place.mkdir(exist_ok=True)
    shutil.copy(source / FILE_NAME, place / FILE_NAME)
    db = sqlite3.connect(place / FILE_NAME)
    db.create_function("checksum", -1, lambda *content: checksum(content))
    with db:
        for table, column, value in changes:
            db.execute(f"UPDATE {table} SET {column} = ?", [value])
        for table, columns in CONTENT.items():
            db.execute(f"UPDATE {table} SET checksum = checksum({', '.join(columns)})")
    db.close()
    return place


COLUMNS = [
    ("identity", "study"),
    ("sessions", "study"),
    ("sessions", "provenance"),
    ("sessions", "ended"),
    ("datasets", "x"),
    ("datasets", "y"),
    ("runs", "run"),
    ("runs", "params"),
    ("runs", "measurements"),
    ("runs", "dataset"),
    ("runs", "error"),
]
SHAPES = st.lists(st.integers(0, 4), max_size=3)
DTYPES = st.sampled_from(["float64", "float32", "int64", "bool", "S3", "complex128"])


def array_bytes(shape, dtype):
    buffer = io.BytesIO()
    np.save(buffer, np.ones(shape, dtype))
    return buffer.getvalue()


ARRAYS = st.builds(array_bytes, SHAPES, DTYPES)
JSON = VALUES.filter(lambda value: "b'" not in repr(value)).map(
    lambda value: json.dumps(value, default=repr)
)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.sampled_from(COLUMNS), JSON | TEXT | st.binary(max_size=40) | ARRAYS)
def test_a_store_from_elsewhere_is_read_or_refused(plain, tmp_path_factory, place, content):
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    forgery = tmp_path_factory.getbasetemp() / "forged"
    directory = forged(plain, forgery, [(*place, content)])

    def read():
        results = mlpspec.load(directory)
        for key in results.runs:
            results.params(key), results.dataset(key), results.has_curve(key)
        results.summary(), results.stacks(), results.errors, results.status
        return results.study

    checked(read)


def test_nothing_in_a_store_is_executed(plain, tmp_path, capsys):

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    evil = tmp_path / "evil"
    array = np.array([Evil()], dtype=object)
    with (tmp_path / "a.npy").open("wb") as file:
        np.save(file, array, allow_pickle=True)
    for raw in ((tmp_path / "a.npy").read_bytes(), pickle.dumps(Evil())):
        forged(plain, evil, [("runs", "params", raw)])
        assert cli.main(["export", str(evil), "--format", "npz"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_nothing_in_a_store_is_markup_or_formula(plain, tmp_path, capsys):
    """Markup, a formula and a terminal's control codes, each where it could do harm."""
    evil = tmp_path / "evil"
    db = sqlite3.connect(plain / FILE_NAME)
    study, provenance, measured = (
        json.loads(db.execute(f"SELECT {c} FROM {t}").fetchone()[0])
        for t, c in (("sessions", "study"), ("sessions", "provenance"), ("runs", "measurements"))
    )
    db.close()
    script = "<script>alert(1)</script>"
    study["question"] = f"{script}\x1b[2J"
    provenance["processor"] = provenance["command"] = script
    measured |= {"=cmd|' /C calc'!A0": 1.0, script: 2.0}
    changes = [
        ("sessions", "study", json.dumps(study)),
        ("sessions", "provenance", json.dumps(provenance)),
        ("runs", "measurements", json.dumps(measured)),
        ("runs", "error", f"{script}\x1b[2J"),
    ]
    forged(plain, evil, changes)
    assert cli.main(["status", str(evil)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert cli.main(["report", str(evil)]) == 0
    page = (evil / "report.html").read_text()
    assert script not in page
    assert "&lt;script&gt;" in page
    with (evil / "runs.csv").open(newline="") as file:
        assert "'=cmd|' /C calc'!A0" in next(csv.reader(file))


def test_no_code_evaluates_text():
    """Only what the user names as code is run, and arrays are never unpickled."""
    for path in Path(ROOT, "mlpspec").rglob("*.py"):
        text = path.read_text()
        assert "eval(" not in text.replace("literal_eval(", ""), path
        assert "exec(" not in text or path.name == "extensions.py", path
        assert text.count("np.load(") == text.count("allow_pickle=False") - text.count(
            "np.save("
        ), path


@pytest.mark.parametrize("kind", ["directory", "pipe", "loop", "nowhere", "device"])
def test_a_store_that_is_no_file(tmp_path, capsys, kind):
    path = tmp_path / FILE_NAME
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"loop": FILE_NAME, "nowhere": "absent", "device": os.devnull}[kind])
    with pytest.raises(InputError, match="is not a file"):
        Store.open(tmp_path)
    for command in ("run --only --jobs 1 --seeds 0:1 --sizes 3 --out", "status", "report"):
        assert cli.main([*command.split(), str(tmp_path)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "is not a file" in err or "is a link to nowhere" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0:" + "9" * 30], "the limit is 10000000 runs"),
        (["--seeds", "0:9000000"], "paper has 432000000 runs; the limit is 10000000"),
        (["--set", "weight=" + "x" * 10**5], "it must be a finite number"),
        (["--sizes", "9" * 10**4], "it must look like 3,5,10"),
        (["--set", "steps=\x1b[2J"], r"steps is '\x1b[2J'; it must be a whole number"),
    ],
)
def test_sizes_out_of_all_measure(capsys, tmp_path, arguments, message):
    assert cli.main(["run", "--only", "--out", str(tmp_path / "r"), *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err) < 700
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"n_samples": (10**9,)},
        {"n_hidden": 10**18},
        {"n_inputs": 10**11},
        {"steps": 10**11, "record_every": 1},
    ],
)
def test_runs_that_fit_no_memory_fail_at_once(tmp_path, changes):
    study = Study("huge", {"seed": (0,), **{k: v for k, v in changes.items() if k == "n_samples"}})
    study = study.replace(**{k: v for k, v in changes.items() if k != "n_samples"})
    (error,) = mlpspec.run_study(study, tmp_path, n_jobs=1).errors.values()
    assert "MemoryError: a run with n_samples=" in error.splitlines()[-1]
    assert "; this machine has " in error.splitlines()[-1]


def test_names_that_the_terminal_cannot_show(mlpspec, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    odd = "ünï\udcff€"
    status, out, err = mlpspec("run", "--only", "--jobs", "1", "--seeds", "0:1", "--sizes", "3",
                               "--set", "steps=2", "--out", odd)  # fmt: skip
    assert status == 0, err
    assert r"of 8 in \xfcn\xef\udcff\u20ac 8 ok" in out


@pytest.mark.slow
def test_nothing_in_a_name_of_a_directory_steers_the_terminal(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    name = "a\x1b[2J\rb\nruns      99 in r: 99 ok\x9b\u202e"
    quick = ["--sizes", "3", "--seeds", "0:1", "--set", "steps=2", "--jobs", "1", "--only"]
    lines = [
        ["run", *quick, "--out", name],
        ["run", *quick, "--out", name, "--dry-run"],
        ["run", *quick, "--out", name, "--engine", "numpy", "--seeds", "0:2"],
        ["status", name],
        ["verify", name],
        ["export", name, "--format", "npz"],
        ["export", name, "--format", "csv"],
        ["recover", name, "--out", name + "2"],
        ["recover", name, "--out", name + "2"],
        ["report", name],
        ["status", name + "3"],
    ]
    for line in lines:
        cli.main(line)
        told = "".join(capfd.readouterr())
        assert "a\\x1b[2J" in told or line[0] == "verify"
        assert all(each.isprintable() for each in told.split("\n")), line
        assert "\nruns      99" not in told
