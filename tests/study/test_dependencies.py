"""What the digest of a loss covers beyond its own file, and what it does not."""

import hashlib
import importlib
import linecache
import subprocess
import sys

import numpy as np
import pytest

from mlpspec.errors import LossWarning
from mlpspec.study.extensions import define, dependencies, load_loss

LOSS = """
from dataclasses import dataclass
import numpy as np
import mlpspec
{head}

@dataclass(frozen=True)
class Pull(mlpspec.StructuralLoss):
    def value_and_grad(self, forward):
        p = forward.prototypes
        {body}
        return c * (p**2).sum(axis=(1, 2)), {{"prototypes": 2 * c * p}}
"""


def write(folder, files):
    (folder / "lab").mkdir(parents=True)
    for name, content in {"__init__.py": "", **files}.items():
        (folder / "lab" / name).parent.mkdir(exist_ok=True)
        (folder / "lab" / name).write_text(content)


def digest_of(folder, monkeypatch):
    """The digest of the loss of the package ``lab``, imported anew from a folder."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    linecache.clearcache()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.syspath_prepend(folder)
        return define("pull", importlib.import_module("lab.losses").Pull()).source


TWO = "def two():\n    return 2.0\n"
CASES = {
    "a function": ("from lab.a import two", "c = two()", {"a.py": TWO}),
    "relative": ("from .a import two", "c = two()", {"a.py": TWO}),
    "a module": ("import lab.a", "c = lab.a.two()", {"a.py": TWO}),
    "renamed": ("from lab import a as b", "c = b.two()", {"a.py": TWO}),
    "in the method": ("", "from lab.a import two; c = two()", {"a.py": TWO}),
    "a module in the method": ("", "import lab.a; c = lab.a.two()", {"a.py": TWO}),
    "in a folder without __init__.py": (
        "from lab.more.b import use",
        "c = use()",
        {"more/b.py": "from lab.a import two\ndef use():\n    return two()\n", "a.py": TWO},
    ),
    "by another one": (
        "from lab.b import use",
        "c = use()",
        {"a.py": TWO, "b.py": "from lab.a import two\ndef use():\n    return two()\n"},
    ),
    "re-exported": (
        "from lab.b import two",
        "c = two()",
        {"a.py": TWO, "b.py": "from lab.a import *\n"},
    ),
    "by name": ("import lab.a", "c = getattr(lab.a, 'two')()", {"a.py": TWO}),
    "partial": ("from functools import partial\nfrom lab.a import two\nf = partial(two)", "c = f()",
                {"a.py": TWO}),
    "cached": ("from functools import cache\nfrom lab.a import two\nf = cache(two)", "c = f()",
               {"a.py": TWO}),
    "vectorized": ("import lab.a\nf = np.vectorize(lambda x: lab.a.two() * x)", "c = f(1.0)",
                   {"a.py": TWO}),
    "in a table": ("from lab.a import two\nf = {'two': two}", "c = f['two']()", {"a.py": TWO}),
    "a default": ("from lab.a import two\ndef f(g=two):\n    return g()", "c = f()",
                  {"a.py": TWO}),
    "enclosed": ("from lab.a import two\ndef make(g):\n    return lambda: g()\nf = make(two)",
                 "c = f()", {"a.py": TWO}),
    "a decorator": ("from lab.a import double\n@double\ndef f():\n    return 1.0", "c = f()",
                    {"a.py": "def double(g):\n    return lambda: 2.0 * g()\n"}),
    "a method": ("from lab.a import Two\nt = Two()", "c = t.value()",
                 {"a.py": "class Two:\n    def value(self):\n        return 2.0\n"}),
    "a property": ("from lab.a import Two", "c = Two().value",
                   {"a.py": "class Two:\n    @property\n    def value(self): return 2.0\n"}),
    "a base of a helper": (
        "from lab.b import Child",
        "c = Child().value()",
        {
            "a.py": "class Two:\n    def value(self):\n        return 2.0\n",
            "b.py": "from lab.a import Two\nclass Child(Two):\n    pass\n",
        },
    ),
    "an enum": ("from lab.a import Mode", "c = Mode.A.value",
                {"a.py": "import enum\nclass Mode(enum.Enum):\n    A = 2.0\n"}),
    "a number": ("from lab.a import C", "c = C", {"a.py": "C = 2.0\n"}),
    "a number of a module": ("from lab import a", "c = a.C", {"a.py": "C = 2.0\n"}),
    "an array": ("from lab.a import C", "c = C[0]",
                 {"a.py": "import numpy\nC = numpy.array([2.0])\n"}),
    "dispatched": (
        "from lab.a import f",
        "c = f(1)",
        {
            "a.py": "from functools import singledispatch\n@singledispatch\ndef f(x):\n"
            "    return 0.0\n@f.register\ndef _(x: int):\n    return 2.0\n"
        },
    ),
    "a text file": (
        "from pathlib import Path\nC = float((Path(__file__).parent / 'c.txt').read_text())",
        "c = C",
        {"c.txt": "2.0"},
    ),
    "a file of a helper": (
        "from lab.a import C",
        "c = C[0]",
        {"c.json": "[2.0]", "a.py": "import json, pathlib\nC = json.loads("
         "(pathlib.Path(__file__).parent / 'c.json').read_text())\n"},
    ),
    "a sibling in the method": ("", "from . import a; c = a.two()", {"a.py": TWO}),
    "a number as a default": ("from lab.a import C\ndef f(c=C):\n    return c", "c = f()",
                              {"a.py": "C = 2.0\n"}),
    "a number in a class": ("from lab.a import C\nclass Two:\n    value = C", "c = Two.value",
                            {"a.py": "C = 2.0\n"}),
    "a number made with another": ("from lab.a import two\nC = np.full(9999, two())", "c = C[5000]",
                                   {"a.py": TWO}),
    "in slots": (
        "from lab.a import C\nclass Two:\n    __slots__ = 'value'\n"
        "    def __init__(self, value):\n        self.value = value\nt = Two(C)",
        "c = t.value",
        {"a.py": "C = 2.0\n"},
    ),
    "a file that is mapped": ("C = np.memmap(__file__.replace('losses.py', 'c.txt'))", "c = C[0]",
                              {"c.txt": "2.0"}),
    "a script that is run": (
        "import runpy\nC = runpy.run_path(__file__.replace('losses.py', 'c.py'))",
        "c = C['C']",
        {"c.py": "C = 2.0\n"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("head", "body", "files"), CASES.values(), ids=CASES)
def test_what_another_file_says_counts(tmp_path, monkeypatch, head, body, files):
    loss = {"losses.py": LOSS.format(head=head, body=body)}
    write(tmp_path / "here", loss | files)
    write(tmp_path / "there", loss | files)
    edited = {name: text.replace("2.0", "3.0") for name, text in files.items()}
    write(tmp_path / "edited", loss | edited)
    before = digest_of(tmp_path / "here", monkeypatch)
    assert digest_of(tmp_path / "there", monkeypatch) == before
    assert digest_of(tmp_path / "edited", monkeypatch) != before


def test_files_that_are_imported_count_whole(tmp_path, monkeypatch):
    """As the own file does: a harmless edit asks for a new directory, and no other is missed."""
    loss = {"losses.py": LOSS.format(head="from lab.a import two\nfrom lab import b", body="c = 2")}
    write(tmp_path / "here", loss | {"a.py": TWO, "b.py": TWO})
    write(tmp_path / "there", loss | {"a.py": TWO + "#", "b.py": TWO + "#"})
    write(tmp_path / "beside", loss | {"a.py": TWO, "b.py": TWO, "c.py": "not imported"})
    before = digest_of(tmp_path / "here", monkeypatch)
    assert digest_of(tmp_path / "there", monkeypatch) != before
    assert digest_of(tmp_path / "beside", monkeypatch) == before


HEAD = """import math, functools, collections, enum
from math import pi
from numpy import newaxis, linalg
try:
    import not_installed
    HAVE = 1.0
except ImportError:
    HAVE = 0.0
A, B = 1.0, 2.0
TABLE = np.arange(3.0)
SEEN = {}
KINDS = {"a": 1.0, "b": [2.0]}
Pair = collections.namedtuple("Pair", "a b")
class Mode(enum.Enum):
    A = 1
class Helper:
    def __call__(self):
        return 1.0
helper = Helper()
@functools.lru_cache
def f(n):
    return n * pi
@functools.singledispatch
def g(x):
    return 1.0
h = functools.partial(f, 2)
"""
BODY = (
    "c = f(2) + TABLE[0] + KINDS['a'] + g(1) + h() + Mode.A.value + Pair(1, 2).a + helper() "
    "+ math.e + linalg.norm([1.0]) + len(SEEN) + A + B + HAVE"
)


def test_a_loss_in_its_own_file_is_described_by_it_alone(tmp_path, monkeypatch):
    """As by earlier versions, so that what they stored counts as done."""
    text = LOSS.format(head=HEAD, body=BODY)
    write(tmp_path, {"losses.py": text})
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert digest_of(tmp_path, monkeypatch) == digest
    loss = load_loss(f"{tmp_path / 'lab' / 'losses.py'}:Pull")
    assert define("pull", loss).source == digest
    fixed = tmp_path / "fixed.py"
    fixed.write_text(LOSS.format(head="", body="c = 2.0"))
    assert define("pull", load_loss(f"{fixed}:Pull")).source == RECORDED


RECORDED = "d4c29972cffa36de"
"""By the version before."""


def test_a_cache_that_fills_is_no_other_formula_and_a_changed_number_is(tmp_path, monkeypatch):
    files = {"a.py": "SEEN = {}\nC = 2.0\n"}
    head = "from lab import a\ndef f():\n    a.SEEN[1] = 1\n    return a.C"
    write(tmp_path, files | {"losses.py": LOSS.format(head=head, body="c = f()")})
    before = digest_of(tmp_path, monkeypatch)
    module, helper = sys.modules["lab.losses"], sys.modules["lab.a"]
    module.f()
    assert define("pull", module.Pull()).source == before
    helper.C = 3.0
    assert define("pull", module.Pull()).source != before


def test_a_files_content_counts_as_it_was_read(tmp_path, monkeypatch):
    (tmp_path / "c.npy").write_bytes(b"")
    np.save(tmp_path / "c.npy", np.array([2.0]))
    file = tmp_path / "mine.py"
    monkeypatch.chdir(tmp_path)
    file.write_text(LOSS.format(head="C = np.load('c.npy')", body="c = C[0]"))
    loss = load_loss(f"{file}:Pull")
    before = define("pull", loss).source
    np.save(tmp_path / "c.npy", np.array([3.0]))
    assert define("pull", loss).source == before
    assert define("pull", load_loss(f"{file}:Pull")).source != before


def test_code_that_a_file_reads_counts(tmp_path):
    (tmp_path / "formula.py").write_text("C = 2.0\n")
    file = tmp_path / "mine.py"
    head = f"from pathlib import Path\nexec(Path({str(tmp_path / 'formula.py')!r}).read_text())"
    file.write_text(LOSS.format(head=head, body="c = C"))
    before = define("pull", load_loss(f"{file}:Pull")).source
    assert define("pull", load_loss(f"{file}:Pull")).source == before
    (tmp_path / "formula.py").write_text("C = 3.0\n")
    assert define("pull", load_loss(f"{file}:Pull")).source != before


SCRIPT = """
import mlpspec, sys
from mlpspec.study.extensions import define
found = []
for POWER in (2.0, 3.0):
    found.append(define("pull", Pull()).source)
def made(c):
    @dataclass(frozen=True)
    class Made(mlpspec.StructuralLoss):
        def value_and_grad(self, forward):
            return c * forward.prototypes.sum(axis=(1, 2)), {}
    return Made()
found += [define("pull", made(c)).source for c in (2.0, 3.0)]
if __name__ == "__main__":
    for POWER in (4.0, 5.0):
        found.append(define("pull", Pull()).source)
print(len(set(found)))
"""


def test_values_that_a_script_changes_count(tmp_path):
    (tmp_path / "script.py").write_text(LOSS.format(head="", body="c = POWER") + SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("6\n", "")


@pytest.mark.parametrize("value", ["sys.argv[-1]", "os.environ['C']"])
def test_values_of_the_surroundings_count(tmp_path, monkeypatch, value):
    files = {"losses.py": LOSS.format(head=f"import os, sys\nC = float({value})", body="c = C")}
    write(tmp_path, files)
    found = set()
    for text in ("2.0", "3.0"):
        monkeypatch.setenv("C", text)
        monkeypatch.setattr(sys, "argv", ["script.py", text])
        found.add(digest_of(tmp_path, monkeypatch))
    assert len(found) == 2


def test_what_nothing_has_imported_yet_is_read_and_not_run(tmp_path, monkeypatch):
    """As a script would be that a function of a module imports, and that trains studies."""
    body = "from .a import two; import not_installed; c = two()"
    loss = {"losses.py": LOSS.format(head="", body=body)}
    files = {"a.py": "raise SystemExit(3)\nfrom .b import C", "b.py": "C = 2.0"}
    write(tmp_path / "here", loss | files)
    write(tmp_path / "there", loss | files | {"b.py": "C = 3.0"})
    before = digest_of(tmp_path / "here", monkeypatch)
    assert digest_of(tmp_path / "there", monkeypatch) != before


def test_a_script_that_says_its_defaults_is_described_by_it_alone(tmp_path):
    text = LOSS.format(
        head="class Scale:\n    c = 1.5\ndef f(c=2.0):\n    return c * Scale.c", body="c = f()"
    )
    text += "from mlpspec.study.extensions import define\nprint(define('pull', Pull()).source)\n"
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == hashlib.sha256(text.encode()).hexdigest()[:16]


CELLS = """
import linecache, sys, types
import mlpspec
from mlpspec.study.extensions import define

def run(number, text):
    name = f"<ipython-input-{number}>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), vars(sys.modules["__main__"]))

main = sys.modules["__main__"]
del main.__file__
run(1, "C = 2.0\\ndef f():\\n    return C\\n")
TIMES = '''
import functools
def times(g):
    @functools.wraps(g)
    def h():
        return 2.0 * g()
    return h
'''
"""


def test_cells_of_a_notebook_count(tmp_path):
    loss = LOSS.format(head="", body="c = f()")
    (tmp_path / "book.py").write_text(
        f"{CELLS}run(2, {loss!r})\nfound = [define('pull', Pull()).source]\n"
        "run(3, 'C = 3.0\\n')\nfound.append(define('pull', Pull()).source)\n"
        "run(4, 'def f():\\n    return 2 * C\\n')\nfound.append(define('pull', Pull()).source)\n"
        "run(5, TIMES)\nrun(6, '@times\\ndef f():\\n    return C\\n')\n"
        "found.append(define('pull', Pull()).source)\n"
        "run(7, TIMES + '#')\nrun(8, '@times\\ndef f():\\n    return C\\n')\n"
        "found.append(define('pull', Pull()).source)\n"
        "print(len(set(found)))\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "book.py"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("5\n", "")


IMPORTS = ("import importlib", "c = importlib.import_module('lab.a').two()")


@pytest.mark.parametrize(
    ("head", "body", "lost"),
    [
        (*IMPORTS, "loads by import_module"),
        ("", "c = eval('2.0')", "loads by eval"),
        ("", "c = len(open(__file__).read())", "loads by open"),
        ("", "c = np.fromfile(__file__, 'u1')[0]", "loads by fromfile"),
    ],
)
def test_what_cannot_be_followed_is_said_once(tmp_path, head, body, lost):
    (tmp_path / "mine.py").write_text(LOSS.format(head=head, body=body))
    loss = load_loss(f"{tmp_path / 'mine.py'}:Pull")
    with pytest.warns(LossWarning, match=lost):
        define("pull", loss)
    define("pull", loss)
    assert len(dependencies(type(loss)).lost) == 1


def test_a_command_says_once_for_all_workers_what_cannot_be_followed(tmp_path, mlpspec):
    head, body = IMPORTS
    (tmp_path / "mine.py").write_text(LOSS.format(head=head, body=body))
    quick = ["--only", "--quiet", "--sizes", "3", "--seeds", "0:1", "--set", "steps=2"]
    _, _, err = mlpspec("run", *quick, "--subsets", "pull", "--loss", "pull=mine.py:Pull")
    assert err.count("changes to that go unseen") == 1
