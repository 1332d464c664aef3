"""What the formula of a loss depends on beyond the files that define its class and bases.

Files count whole. From the file of a class on, every file counts that one of them imports, at its
top or in a function, as far as it is of no library: the standard library, what is installed in
``site-packages``, and this package. With each module count the files that it read while it was
loaded. Cells of a notebook are files whose functions and classes are found by their names.

A value counts by itself where no file says it. The formula's functions are followed for that: what
a class that a function makes encloses, and the globals that they name, where a script sets them
more than once, another cell or another module has set them, or the arguments or the environment.
What is changed in place after a file was loaded, such as the items of a list, is not followed.
"""

from __future__ import annotations

import ast
import dis
import hashlib
import json
import linecache
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec, module_from_spec, resolve_name
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

import numpy as np

from mlpspec.opened import OPENED, is_library

_LOADS = {
    *("eval", "exec", "import_module", "__import__", "open", "read_text", "read_bytes"),
    *("load", "loadtxt", "genfromtxt", "fromfile", "memmap", "read_csv"),
}
"""Names by which a function that is called loads what the files do not say."""
_SURROUNDINGS = {"argv", "environ", "getenv"}


class Dependencies:
    """What was reached from a class.

    Parameters
    ----------
    classes : list of type
        The class and those of its bases that are of no library.
    own : mapping of str to bytes
        The files that define them, and their contents.

    Attributes
    ----------
    texts : dict of str to bytes
        Files, or cells of a notebook, and their contents, the own ones among them.
    values : set of str
        Variables with their values, where no file says these.
    modules : set of modules
        Those reached, except the script that is running.
    lost : set of str
        What cannot be followed, in words.

    Examples
    --------
    >>> from mlpspec.losses import Coverage
    >>> Dependencies([Coverage], {}).digests
    []
    """

    def __init__(self, classes: list[type], own: Mapping[str, bytes]) -> None:
        self.own = own
        self.texts: dict[str, bytes] = {}
        self.values: set[str] = set()
        self.modules: set[ModuleType] = set()
        self.lost: set[str] = set()
        self._seen: dict[tuple[int, bool], object] = {}
        for cls in classes:
            # A class that a function makes may enclose what its caller chose.
            self._follow(cls, cls.__qualname__, written="<locals>" not in cls.__qualname__)

    @property
    def digests(self) -> list[bytes]:
        """What a digest covers beside the own files, in an order that is the same everywhere."""
        # A script may read its results, too: what it takes from files counts by value.
        loaded = {*self.own, *self.texts} - {_script()}
        found = {digest for file in loaded for digest in OPENED.get(file, {}).values()}
        others = self.texts.keys() - self.own.keys()
        found |= {hashlib.sha256(self.texts[file]).hexdigest() for file in others}
        return [text.encode() for text in (*sorted(found), *sorted(self.values))]

    def _add(self, file: str | None, space: dict[str, Any]) -> bool:
        """Add a file, whose globals are ``space``, and its imports; False if it is a library's."""
        if file is None or is_library(file) or (file[0] == "<" and file not in linecache.cache):
            return False  # of a library, or of no file, as what dataclasses make
        if file in self.texts:
            return True
        name, package = str(space.get("__name__")), str(space.get("__package__") or "")
        if name in sys.modules and name != "__main__":
            self.modules.add(sys.modules[name])
        try:
            text = self.own[file] if file in self.own else source_text(file, space)
            text = text or Path(file).read_bytes()  # empty, or compiled
        except OSError:
            text = b""
            self.lost.add(f"what {Path(file).name} defines")
        self.texts[file] = text
        for node in ast.walk(_tree(text)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._import(alias.name)
            elif isinstance(node, ast.ImportFrom):
                origin = "." * node.level + (node.module or "")
                try:
                    origin = resolve_name(origin, package)
                except ImportError:  # the file is in no package, or not so deep in one
                    continue
                if self._import(origin):
                    for alias in node.names:
                        self._import(f"{origin}.{alias.name}")
        return True

    def _import(self, name: str) -> bool:
        """Add the file of a module, and of the packages it is in; return if it is a package."""
        package = name.rpartition(".")[0]
        if name in sys.stdlib_module_names or (package and not self._import(package)):
            return False
        try:  # found, not run, where nothing has imported it yet; only packages on the way are run
            module = sys.modules.get(name) or module_from_spec(cast(Any, find_spec(name)))
        except Exception:  # what is amiss with it will be said when the loss is tried
            return False
        space = vars(module)
        file = space.get("__file__")  # a package may have none
        return (file is None or self._add(file, space)) and "__path__" in space

    def _follow(self, thing: Any, name: str, written: bool) -> None:
        """Follow what functions use; ``written`` is whether a file says what ``name`` is."""
        thing = unwrap(thing, stop=_is_function)
        if isinstance(thing, ModuleType):
            self._add(vars(thing).get("__file__"), vars(thing))
        elif isinstance(thing, type | FunctionType):
            if (id(thing), written) in self._seen:
                return
            self._seen[id(thing), written] = thing  # kept, so that nothing else gets its id
            if isinstance(thing, type):
                self._follow_class(thing, written)
            else:
                self._follow_function(thing, written)
        elif not written and not (callable(thing) and hasattr(thing, "__name__")):
            try:
                self.values.add(f"{name} = {json.dumps(thing, default=_plain, sort_keys=True)}")
            except (TypeError, ValueError, RecursionError):
                self.lost.add(f"{name}, of type {type(thing).__qualname__}")

    def _follow_class(self, cls: type, written: bool) -> None:
        for base in cls.__mro__:
            space = vars(sys.modules.get(base.__module__, ModuleType("none")))
            self._add(space.get("__file__"), space)
            for name, value in vars(base).items():
                method = unwrap(getattr(value, "fget", value), stop=_is_function)
                if _is_function(method):
                    self._follow(method, name, written)

    def _follow_function(self, function: FunctionType, written: bool) -> None:
        self._follow(getattr(function, "__wrapped__", None), function.__qualname__, written=True)
        if not self._add(function.__code__.co_filename, function.__globals__):
            return
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            with suppress(ValueError):  # it is not filled yet
                self._follow(cell.cell_contents, f"{function.__qualname__}.{name}", written)
        file, space = function.__code__.co_filename, function.__globals__
        for code in _codes(function.__code__):
            for word in _LOADS & set(code.co_names):
                self.lost.add(f"what {code.co_name} loads by {word}")
            for step in dis.get_instructions(code):
                if step.opname == "LOAD_GLOBAL" and step.argval in space:
                    self._use(step.argval, file, space, set(code.co_names))

    def _use(self, name: str, file: str, space: dict[str, Any], names: set[str]) -> None:
        """Follow a global that code in a file names, of a module the attributes in ``names``."""
        if name.startswith("__"):
            return
        thing = space[name]
        written = _is_written(self.texts[file], name, thing, running=space is vars(_main()))
        self._follow(thing, name, written)
        inner = getattr(thing, "__file__", None)
        if isinstance(thing, ModuleType) and inner in self.texts:
            for attribute in names & vars(thing).keys():
                self._use(attribute, inner, vars(thing), names - {attribute})


def source_text(file: str, space: dict[str, Any]) -> bytes:
    """Return the source of a file, or of a notebook's cell, whose globals are ``space``.

    Examples
    --------
    >>> source_text("nowhere.py", {})
    b''
    """
    if "_mlpspec_content" in space:
        return bytes(space["_mlpspec_content"])
    linecache.checkcache(file)
    return "".join(linecache.getlines(file, space)).encode()


def _is_function(thing: Any) -> bool:
    return isinstance(thing, FunctionType)


@cache
def _tree(text: bytes) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):  # compiled
        return ast.Module([], [])


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Return a code and all codes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _binds(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return statement.name == name
    return any(
        (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name)
        or (isinstance(node, ast.alias) and (node.asname or node.name) in (name, "*"))
        for node in ast.walk(statement)
    )


def _is_written(text: bytes, name: str, value: Any, running: bool) -> bool:
    """Return whether a file says what its global is; a script that is running may change it."""
    found = [statement for statement in _tree(text).body if _binds(statement, name)]
    blocks = ast.If | ast.For | ast.While | ast.With
    if not found or (running and (len(found) > 1 or isinstance(found[0], blocks))):
        return False
    words = (getattr(n, "attr", None) or getattr(n, "id", None) for n in ast.walk(found[0]))
    if not _SURROUNDINGS.isdisjoint(words):
        return False
    if len(found) > 1 or not isinstance(found[0], ast.Assign | ast.AnnAssign):
        return True
    try:
        literal = ast.literal_eval(cast(ast.expr, found[0].value))
    except (ValueError, TypeError):
        return not (running and _script() in OPENED)
    if not isinstance(value, int | float | complex | str) or isinstance(literal, tuple | list):
        return True  # may have changed in place, or there are several names
    return repr(literal) == repr(value)


def _plain(thing: Any) -> Any:
    """Return what JSON cannot hold, as far as it is plain data, as something that it can."""
    if isinstance(thing, np.ndarray | np.generic) and not thing.dtype.hasobject:
        return [thing.dtype.str, thing.shape, hashlib.sha256(thing.tobytes()).hexdigest()]
    if isinstance(thing, set | frozenset):
        return sorted(thing)
    raise TypeError


def _main() -> ModuleType:
    return sys.modules["__main__"]


def _script() -> str:
    return str(getattr(_main(), "__file__", ""))
