"""What a session keeps of where it ran: enough to rebuild it, and nothing private."""

import re
import subprocess
from hashlib import sha256

import pytest

from mlpspec import run_study
from mlpspec.cli import command as cli
from mlpspec.running import provenance
from mlpspec.store.environment import constraints
from mlpspec.store.store import Store
from mlpspec.study.study import Study


def git(place, *arguments, given=None):
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", place, *who, *arguments], check=True, input=given)


@pytest.fixture
def package(tmp_path):
    place = tmp_path / "clone" / "package"
    place.mkdir(parents=True)
    (place / "__init__.py").write_bytes(b"one = 1\ntwo = '\xe9'\n")
    (place.parent / "notes.txt").write_text("nothing\n")
    git(place.parent, "init", "-q")
    git(place, "add", "..")
    git(place, "commit", "-qm", "first")
    return place


def test_what_was_edited_in_the_clone_can_be_had_again(package, tmp_path):
    committed = provenance._revision(package)
    assert re.fullmatch("[0-9a-f]{40}", committed.pop("git_revision"))
    assert committed == {"git_dirty": False}
    git(tmp_path, "clone", "-q", package.parent, tmp_path / "other")
    (package / "__init__.py").write_bytes(b"one = 1\ntwo = '\xe8'\nthree = 3")
    (package / "new loss.py").write_text("four = 4\n")
    (package.parent / "notes.txt").write_text("what is private\n")
    (package / "data.csv").write_text("what is private\n")
    found = provenance._revision(package)
    assert found["git_dirty"] is True
    assert "private" not in found["git_diff"]
    text = found["git_diff"].encode(errors="surrogateescape")
    assert found["git_diff_digest"] == sha256(text).hexdigest()
    git(tmp_path / "other", "apply", given=text)
    for name in ("__init__.py", "new loss.py"):
        again = tmp_path / "other" / "package" / name
        assert again.read_bytes() == (package / name).read_bytes()


@pytest.mark.parametrize(
    ("added", "switch", "reason"),
    [
        ("x = 1\n" * 20_000, None, "characters, more than 65536"),
        ("url = 'https://me:secret@example.org/x'\n", None, "an address with a user's name"),
        ("x = 1\n", "0", "MLPSPEC_DIFF is 0"),
    ],
)
def test_what_is_too_long_or_private_is_left_out(package, monkeypatch, added, switch, reason):
    if switch is not None:
        monkeypatch.setenv("MLPSPEC_DIFF", switch)
    (package / "__init__.py").write_text(added)
    found = provenance._revision(package)
    assert reason in found["git_diff_left_out"]
    assert found.keys() - {"git_diff_left_out"} == {"git_revision", "git_dirty", "git_diff_digest"}
    told = constraints({"session": 1, **found})
    assert f"it was not kept: {found['git_diff_left_out']}\n" in told


def test_without_git_nothing_is_said_of_it(tmp_path):
    assert provenance._revision(tmp_path) == {"git_revision": None, "git_dirty": None}


def test_packages_are_names_and_versions_alone(tmp_path, monkeypatch):
    def install(folder, metadata):
        place = tmp_path / f"{folder}.dist-info"
        place.mkdir()
        (place / "direct_url.json").write_text('{"url": "https://me:secret@example.org/x"}')
        if metadata is not None:
            (place / "METADATA").write_text(f"Metadata-Version: 2.1\n{metadata}")

    install("mine-1.0", "Name: My_Own.Tool\nVersion: 1.0+here\n")
    install("odd-1.0", "Name: odd @ https://me:secret@example.org/x\nVersion: 1.0\n")
    install("half-1.0", None)
    monkeypatch.syspath_prepend(tmp_path)
    provenance.packages.cache_clear()
    try:
        found = provenance.packages().split()
    finally:
        provenance.packages.cache_clear()
    assert "my-own-tool==1.0+here" in found
    assert not [package for package in found if "secret" in package or "odd" in package]
    assert not [package for package in found if package.startswith("half")]


def test_export_writes_constraints_for_pip(tmp_path, capsys, monkeypatch):
    study = Study("two", {"seed": (0, 1)}, {"n_samples": 3, "steps": 2})
    results = run_study(study.replace(seed=(0,)), tmp_path / "r", n_jobs=1, engine="numpy")
    first = results.sessions[0]
    monkeypatch.setattr(provenance, "packages", lambda: "numpy==0.1")
    run_study(study, tmp_path / "r", n_jobs=1, engine="numpy")
    export = ["export", str(tmp_path / "r"), "--environment"]
    assert cli.main(export) == 0
    assert [x for x in capsys.readouterr().out.splitlines() if x[0] != "#"] == ["numpy==0.1"]
    assert cli.main([*export, "--session", "1", "--out", str(tmp_path / "c.txt")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'c.txt'}\n"
    text = (tmp_path / "c.txt").read_text()
    assert text == constraints(first)
    assert f"# Python {first['python']}\n" in text
    for name in ("numpy", "scipy"):
        assert f"\n{name}=={first[name]}\n" in text
    assert cli.main([*export, "--session", "3"]) == 2
    assert "has no session 3; it has 1 to 2" in capsys.readouterr().err
    assert cli.main(["export", str(tmp_path / "r"), "--format", "csv", "--out", "x"]) == 2
    assert "belong to --environment" in capsys.readouterr().err
    Store.create(tmp_path / "empty", Study("s", {"seed": (0, 1)})).close()
    assert cli.main(["export", str(tmp_path / "empty"), "--environment"]) == 2
    assert "empty holds no session yet; run the study again" in capsys.readouterr().err


def test_old_sessions_give_what_they_have_and_forged_ones_nothing_else():
    old = {"session": 1, "python": "3.12.1", "mlpspec": "0.1.0", "numpy": "2.1.0", "numba": None}
    text = constraints({**old, "git_revision": "0" * 40, "git_dirty": True})
    assert "\n# an older version ran this session; no other versions are known\n" in text
    assert "not committed; it was not kept: an older version ran this session\n" in text
    assert [line for line in text.splitlines() if line[0] != "#"] == ["numpy==2.1.0"]
    assert "mlpspec==0.1.0\n" in constraints(old)
    forged = {**old, "python": "3\n--pre x", "packages": "a==1\n-r x b==@http://x c==1;x --y"}
    lines = constraints(forged).splitlines()
    assert [line for line in lines if line[0] != "#"] == ["a==1"]
