"""What the formula of a loss depends on beyond the files that define its class and bases.

From the methods on, whatever they use is followed through functions, classes, modules, closures,
default arguments and decorators, as far as it is of no library: the standard library, what is
installed in ``site-packages``, and this package. Files count whole. Plain values count where they
come from another file, or where their own file does not say what they are.
"""

from __future__ import annotations

import ast
import dis
import enum
import hashlib
import importlib
import linecache
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import resolve_name
from pathlib import Path, PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from mlpspec.opened import OPENED, is_library

_INSIDE = (
    *("__wrapped__", "__func__", "__self__", "func", "args", "keywords", "fget", "fset"),
    *("py_func", "pyfunc"),  # numba's and NumPy's
)

_seen_first: dict[int, tuple[object, str]] = {}
"""What may change in place, as it was at first: a cache that fills up is no other formula."""


def of_library(name: str) -> bool:
    """Return whether a module, by its name, is a library's.

    Examples
    --------
    >>> of_library("json"), of_library("numpy.linalg"), of_library("__main__")
    (True, True, False)
    """
    top = name.partition(".")[0]
    if name == "__main__":
        return False
    if top in sys.builtin_module_names or top == "mlpspec":
        return True
    module = sys.modules.get(name) or sys.modules.get(top)
    file = getattr(module, "__file__", None)
    if file is None:
        return top in sys.stdlib_module_names
    return is_library(file)


class Dependencies:
    """What was reached from a class.

    Parameters
    ----------
    cls : type
    own : mapping of str to bytes
        The files that define the class and its bases, and their contents.

    Attributes
    ----------
    files : dict of str to bytes
        Other files, or cells of a notebook, and their contents.
    values : dict of str to str
        Values by the names of the globals that hold them, in a form that is the same everywhere.
    modules : set of modules
        In which something was reached.
    lost : dict of str
        What cannot be followed, in words.

    Examples
    --------
    >>> from mlpspec.losses import Coverage
    >>> Dependencies(Coverage, {}).digests
    []
    """

    def __init__(self, cls: type, own: Mapping[str, bytes]) -> None:
        self.own = own
        self.files: dict[str, bytes] = {}
        self.values: dict[str, str] = {}
        self.modules: set[ModuleType] = set()
        self.lost: dict[str, None] = {}
        self._seen: dict[Any, object] = {}
        self._todo: list[tuple[Any, str, frozenset[str]]] = [(cls, cls.__qualname__, frozenset())]
        while self._todo:
            self._visit(*self._todo.pop())

    @property
    def digests(self) -> list[bytes]:
        """What a digest covers beside the own files, in an order that is the same everywhere."""
        opened = (
            digest
            for file in {**self.own, **self.files}
            if file != _main_file()
            for digest in OPENED.get(file, {}).values()
        )
        found = {*opened, *(hashlib.sha256(text).hexdigest() for text in self.files.values())}
        values = sorted(f"{name} = {value}" for name, value in self.values.items())
        return [text.encode(errors="surrogatepass") for text in (*sorted(found), *values)]

    def _visit(self, thing: Any, name: str, names: frozenset[str]) -> None:
        key = (id(thing), names) if isinstance(thing, ModuleType) else id(thing)
        if key in self._seen:
            return
        self._seen[key] = thing  # kept, so that no other thing gets its id
        if isinstance(thing, ModuleType):
            self._visit_module(thing, names)
        elif isinstance(thing, type):
            self._visit_class(thing)
        elif isinstance(thing, FunctionType):
            self._visit_function(thing)
        else:
            self._visit_object(thing, name)

    def _visit_module(self, module: ModuleType, names: frozenset[str]) -> None:
        if of_library(module.__name__):
            return
        file = getattr(module, "__file__", None)
        if file is not None and file.endswith(tuple(EXTENSION_SUFFIXES)):
            self.lost[f"the compiled module {module.__name__}"] = None
            return
        found = vars(module)
        for name in found if names & {"getattr", "vars", "__dict__"} else names:
            value = found.get(name)
            if value is None and "__getattr__" in found and not name.startswith("__"):
                value = getattr(module, name, None)  # loaded when first asked for
            if value is not None or name in found:
                self._use(value, found, name, names)

    def _visit_class(self, cls: type) -> None:
        there = getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls
        if of_library(cls.__module__) and there:
            return
        module = sys.modules.get(cls.__module__)
        if module is not None and cls.__module__ != "__main__":
            self._add_file(getattr(module, "__file__", None), vars(module))
        elif issubclass(cls, enum.Enum):
            members = [(member.name, member.value) for member in cls]
            self._add_value(f"{cls.__module__}.{cls.__qualname__}", members)
        for base in (*cls.__bases__, type(cls)):
            self._todo.append((base, base.__qualname__, frozenset()))
        for name, value in vars(cls).items():
            hidden = name.startswith(("__", "_abc_")) and not callable(value)
            if _stable(value) is None and not hidden:
                self._todo.append((value, "", frozenset()))

    def _visit_function(self, function: FunctionType) -> None:
        code, found = function.__code__, function.__globals__
        inside = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        for cell in function.__closure__ or ():
            try:
                inside.append(cell.cell_contents)
            except ValueError:  # not filled yet
                continue
        library = is_library(code.co_filename) or of_library(str(found.get("__name__")))
        made = code.co_name.startswith("__") or found.get("__name__") not in sys.modules
        generated = made and code.co_filename.startswith("<")
        if not library and not generated:  # as by dataclass and namedtuple, from fields
            self._add_file(code.co_filename, found)
        for number, value in enumerate(inside):
            label = f"{function.__module__}.{function.__qualname__}[{number}]"
            if _stable(value) is None:
                self._todo.append((value, "" if library else label, frozenset()))
            elif not library and not self._says(code.co_filename, found):
                self._add_value(label, value)
        self._todo += [(value, "", frozenset()) for value in vars(function).values()]
        if library:
            return
        for each in _codes(code):
            self._visit_code(each, found)

    def _visit_code(self, code: CodeType, found: dict[str, Any]) -> None:
        names = frozenset(code.co_names)
        before: list[Any] = [None, None]
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval in found:
                self._use(found[step.argval], found, step.argval, names)
            elif step.opname == "IMPORT_NAME":
                level = before[0] if isinstance(before[0], int) else 0
                self._import("." * level + step.argval, found, names)
            elif step.argval in ("import_module", "__import__", "eval", "exec") and (
                step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_METHOD", "LOAD_ATTR")
            ):
                self.lost[f"what {code.co_name} loads by {step.argval}"] = None
            before = [before[1], step.argval]

    def _import(self, name: str, found: dict[str, Any], names: frozenset[str]) -> None:
        """Follow a module that a function imports when it is called."""
        if of_library(name):
            return
        try:
            module = importlib.import_module(name, found.get("__package__"))
        except BaseException:  # what is amiss with it will be said when the loss is tried
            self.lost[f"the module {name}, which cannot be imported"] = None
            return
        self._todo.append((sys.modules[module.__name__.partition(".")[0]], name, names))
        self._todo.append((module, name, names))
        for attribute in names:  # from package import module
            inner = sys.modules.get(f"{module.__name__}.{attribute}")
            if inner is not None:
                self._todo.append((inner, attribute, names))

    def _use(self, value: Any, found: dict[str, Any], name: str, names: frozenset[str]) -> None:
        """Follow the global ``name`` of the namespace ``found``, which holds ``value``."""
        if name.startswith("__"):
            return
        if isinstance(value, ModuleType | type | FunctionType):
            self._todo.append((value, name, names))
            return
        file, text = str(found.get("__file__", "")), self._text(found)
        origin = _imports(text, str(found.get("__package__") or "")).get(name) if text else None
        if origin is not None:
            if of_library(origin[0]):
                return
            module = sys.modules.get(origin[0])
            if module is not None and vars(module) is not found and origin[1] in vars(module):
                self._add_file(getattr(module, "__file__", None), vars(module))
                self._use(value, vars(module), origin[1], names)
                return
        label = f"{found.get('__name__')}.{name}"
        if _stable(value) is None:
            self._todo.append((value, label if text is None else "", names))
        elif not (text is not None and file in self.own) or not self._said(found, name, value):
            self._add_value(label, value, os.path.dirname(file))

    def _says(self, file: str, found: dict[str, Any]) -> bool:
        """Return whether a file, run alone, says what the functions in it enclose."""
        return "_mlpspec_content" in found or (file in self.own and found["__name__"] != "__main__")

    def _said(self, found: dict[str, Any], name: str, value: Any) -> bool:
        """Return whether an own file says what its global is."""
        if "_mlpspec_content" in found:
            return True  # it has just been run, by itself
        bindings = _bindings(self._text(found) or b"").get(name, [])
        if len(bindings) != 1 or bindings[0] is None:
            return bool(bindings) and None not in bindings
        try:
            literal = ast.literal_eval(bindings[0])
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return not (found["__name__"] == "__main__" and OPENED.get(_main_file()))
        return literal in ({}, [], ()) or _stable(literal) == _stable(value)

    def _text(self, found: dict[str, Any]) -> bytes | None:
        """Return the content of the file whose namespace this is; None if it has no file."""
        file = found.get("__file__")
        if file is None:
            # The cells of a notebook share a namespace; those of the loss say what they bind.
            cells = [
                text for name, text in self.own.items() if name.startswith("<") or "ipy" in name
            ]
            return b"\n".join(cells) if found.get("__name__") == "__main__" and cells else None
        return self.own.get(file) or self.files.get(file) or _read(file, found)

    def _visit_object(self, thing: Any, name: str) -> None:
        if _stable(thing) is not None:
            return
        if isinstance(thing, Mapping | list | tuple | set | frozenset):
            items = (*thing.keys(), *thing.values()) if isinstance(thing, Mapping) else thing
            for item in items:
                self._todo.append((item, name, frozenset()))
            return
        cls = type(thing)
        inside = [getattr(thing, attribute, None) for attribute in _INSIDE]
        if not of_library(cls.__module__):
            self._todo.append((cls, cls.__qualname__, frozenset()))
            for attribute, value in getattr(thing, "__dict__", {}).items():
                if name and _stable(value) is not None:
                    self._add_value(f"{name}.{attribute}", value)
                inside.append(value)
        elif name and not callable(thing) and all(value is None for value in inside):
            self.lost[f"{name}, of type {cls.__qualname__}"] = None
        for value in inside:
            if value is not None:
                self._todo.append((value, "", frozenset()))

    def _add_file(self, file: str | None, found: dict[str, Any]) -> None:
        module = sys.modules.get(str(found.get("__name__")))
        if module is not None and vars(module) is found and module.__name__ != "__main__":
            self.modules.add(module)
        if file is None or file in self.own or file in self.files:
            return
        content = _read(file, found)
        if content is None:
            self.lost[f"what {Path(file).name} defines"] = None
        else:
            self.files[file] = content

    def _add_value(self, name: str, value: Any, folder: str = "") -> None:
        form = _stable(value)
        if isinstance(value, list | dict | set | np.ndarray):
            form = _seen_first.setdefault(id(value), (value, str(form)))[1]
        # The same wherever the file lies.
        self.values[name] = str(form).replace(folder, "") if folder else str(form)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Return a code and all codes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _read(file: str, found: dict[str, Any]) -> bytes | None:
    if file == found.get("__file__") and "_mlpspec_content" in found:
        return bytes(found["_mlpspec_content"])
    linecache.checkcache(file)
    lines = linecache.getlines(file, found)
    return "".join(lines).encode(errors="surrogatepass") if lines else None


@cache
def _tree(text: bytes) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


@cache
def _imports(text: bytes, package: str) -> dict[str, tuple[str, str]]:
    """Return which names a file takes from which modules, and their names there."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(_tree(text)):
        if isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            try:
                module = resolve_name(name, package) if node.level else name
            except ImportError:
                continue
            found |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
    return found


@cache
def _bindings(text: bytes) -> dict[str, list[ast.expr | None]]:
    """Return what a file assigns to its globals; None where it is not one value for all time."""
    found: dict[str, list[ast.expr | None]] = {}
    for node in _tree(text).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
                    continue
                for inner in ast.walk(target):
                    if isinstance(inner, ast.Name):
                        found.setdefault(inner.id, []).append(target)
        elif isinstance(node, ast.For | ast.While):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    found.setdefault(inner.id, []).append(None)
        else:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    found.setdefault(inner.id, []).append(inner)
                elif isinstance(inner, ast.Global):
                    for name in inner.names:
                        found.setdefault(name, []).append(None)
    return found


def _stable(value: Any) -> str | None:
    """Return plain data as text that is the same in every process; None for anything else."""
    try:
        return _form(value)
    except (TypeError, RecursionError):
        return None


def _form(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}={_form(value.value)}"
    if isinstance(value, np.ndarray | np.generic) and value.dtype.hasobject is False:
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype.str}{value.shape}{digest}"
    if value is None or type(value) in (bool, int, float, complex, str, bytes, range):
        return repr(value)
    if isinstance(value, PurePath):
        return repr(str(value))
    if type(value) in (list, tuple):
        return f"{type(value).__name__}({', '.join(map(_form, value))})"
    if type(value) in (set, frozenset):
        return f"set({', '.join(sorted(map(_form, value)))})"
    if type(value) is dict:
        items = (f"{_form(key)}: {_form(item)}" for key, item in value.items())
        return f"dict({', '.join(items)})"
    raise TypeError


def _main_file() -> str:
    return str(getattr(sys.modules.get("__main__"), "__file__", ""))
