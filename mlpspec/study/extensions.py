"""Custom losses in a study: loading, naming and describing them.

A run is described by data alone, so that a results directory can be read where the code of its
losses is not. A custom loss is therefore known there by its `Definition`: the name of its
class, the values of its fields, and a digest of what its formula follows from: the files that
define it, and what these depend on (`mlpspec.study.dependencies`).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import math
import re
import sys
import warnings
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard, cast

from mlpspec.data.spec import parse_call
from mlpspec.data.tabular import MISSING
from mlpspec.errors import InputError, LossWarning, is_interrupt, one_line
from mlpspec.losses import BUILT_IN, StructuralLoss
from mlpspec.opened import OPENED
from mlpspec.study.dependencies import Dependencies, source_text

RESERVED = (*BUILT_IN, "baseline", "fit", "objective")
"""Names that a custom loss cannot have."""

Source = tuple[str, str, bytes]
"""A file that was run: the name of its module, its own, and its content."""

_number = count(1)
"""Tells files apart that are run more than once."""

Scalar = bool | int | float | str | None


@dataclass(frozen=True)
class Definition:
    """What stands for a custom loss in keys and tables.

    Attributes
    ----------
    name : str
        In labels and columns.
    class_name : str
        Of the loss.
    fields : tuple of (str, scalar)
        The values of its fields, as declared.
    source : str
        Digest of the file that defines the class, of those of its bases, and of what they import
        from files of no library: another formula is another loss. ``mlpspec`` for the losses of
        this package.
    loss : StructuralLoss, optional
        The loss itself, where its code is at hand; says nothing about identity.

    Examples
    --------
    >>> from mlpspec.losses import Coverage
    >>> definition = define("soft", Coverage(temperature=0.5))
    >>> print(definition)
    Coverage(temperature=0.5), source mlpspec
    >>> Definition.from_dict("soft", definition.to_dict()) == definition
    True
    """

    name: str
    class_name: str
    fields: tuple[tuple[str, Scalar], ...]
    source: str
    loss: StructuralLoss | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as JSON can hold it, without the name."""
        return {"class": self.class_name, "fields": dict(self.fields), "source": self.source}

    @classmethod
    def from_dict(cls, name: str, content: Mapping[str, Any]) -> Definition:
        """Return the definition that `to_dict` wrote."""
        values = tuple(content["fields"].items())
        return cls(check_name(name), str(content["class"]), values, str(content["source"]))

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.fields)
        return f"{self.class_name}({arguments}), source {self.source}"


def check_name(name: str) -> str:
    """Return ``name`` if a custom loss can have it.

    Raises
    ------
    InputError
        It is not lower-case letters, digits and ``_``, or it is taken.

    Examples
    --------
    >>> check_name("anchored")
    'anchored'
    >>> check_name("coverage")
    Traceback (most recent call last):
        ...
    mlpspec.errors.InputError: a loss is called 'coverage', which is taken; give it another name
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise InputError(
            f"a loss is called {name!r}; use lower-case letters, digits and '_', at most 40"
        )
    if name in RESERVED:
        raise InputError(f"a loss is called {name!r}, which is taken; give it another name")
    return name


def define(name: str, loss: StructuralLoss) -> Definition:
    """Return the definition of a loss.

    Raises
    ------
    InputError
        A name that it cannot have, an object that is not a frozen dataclass derived from
        `StructuralLoss`, a field that is not a scalar, or a class whose source cannot be found.

    Examples
    --------
    >>> from mlpspec.losses import Coverage
    >>> define("soft", Coverage(temperature=0.5)).fields
    (('temperature', 0.5),)
    """
    # Not in `check_name`, as stored runs with such a loss can still be read.
    if MISSING.fullmatch(check_name(name)):
        raise InputError(f"a loss is called {name!r}, which pandas reads as no value; rename it")
    cls = type(loss)
    parameters = getattr(cls, "__dataclass_params__", None)
    if not isinstance(loss, StructuralLoss) or not is_dataclass(loss) or not parameters.frozen:
        raise InputError(
            f"the loss {name!r} is of {cls.__qualname__}; it must be an instance of a class that "
            "derives from mlpspec.StructuralLoss and is decorated with @dataclass(frozen=True)"
        )
    loss = _in_one_form(loss)
    values = []
    for entry in fields(loss):
        value = getattr(loss, entry.name)
        if entry.metadata.get("later") and value == entry.default:
            continue
        finite = not isinstance(value, float) or math.isfinite(value)
        if not isinstance(value, Scalar) or not finite:
            raise InputError(
                f"the field {entry.name} of the loss {name!r} is {value!r}; it must be a finite "
                "number, a text, True, False or None"
            )
        values.append((entry.name, value))
    _say_what_is_lost(cls)
    return Definition(name, cls.__qualname__, tuple(values), source_of(cls), loss)


@cache
def _say_what_is_lost(cls: type) -> None:
    lost = dependencies(cls).lost
    if lost:
        warnings.warn(
            f"the formula of {cls.__qualname__} depends on {', '.join(sorted(lost))}: changes to "
            "that go unseen, and old results would be taken for new ones",
            LossWarning,
            stacklevel=3,
        )


def _in_one_form(loss: StructuralLoss) -> StructuralLoss:
    """Return a loss with its fields as declared, so that what is trained is what its key says."""
    declared = {entry.name: entry.type for entry in fields(cast(Any, loss))}
    given = {name: getattr(loss, name) for name in declared}
    values = {name: _as_declared(declared[name], value) for name, value in given.items()}
    if repr(values) == repr(given):
        return loss
    loss = copy(loss)
    for name, value in values.items():
        object.__setattr__(loss, name, value)
    return loss


def _as_declared(declared: Any, value: Any) -> Any:
    """Return the value of a field in the one form that equal ones share.

    A number becomes of the type that the field is declared as, the widest where there are several,
    if that holds it exactly: ``2`` is ``2.0`` in a field of floats, and so is ``"2"``, unless texts
    are declared too. NumPy's numbers become Python's, and -0.0 becomes 0.0. A truth value stays one
    where one is declared.
    """
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    name = declared.__name__ if isinstance(declared, type) else str(declared)
    words = set(re.findall(r"[a-z]+", name))
    wanted = next((t for t in (float, int, bool) if t.__name__ in words), None)
    text = isinstance(value, str) and "str" not in words and wanted is not bool
    number = isinstance(value, int | float) and not (isinstance(value, bool) and "bool" in words)
    if wanted and (text or number):
        with contextlib.suppress(OverflowError, ValueError):  # too large, no number, not finite
            value = wanted(value) if text or wanted(value) == value else value
    return value + 0.0 if isinstance(value, float) else value


def load_loss(text: str) -> StructuralLoss:
    """Return the loss ``FILE_OR_MODULE:CLASS(args)``; the one way in which code enters a study.

    ``FILE_OR_MODULE`` is a path that ends in ``.py``, which is run, or the name of an installed
    module, such as ``mlpspec.losses``. Arguments are literals.

    Raises
    ------
    InputError
        The text, the file, the class or its arguments are not right.

    Examples
    --------
    >>> load_loss("mlpspec.losses:Coverage(temperature=0.5)")
    Coverage(temperature=0.5)
    """
    try:
        call = parse_call(text)
    except InputError as error:
        like = "a loss looks like FILE_OR_MODULE:CLASS(args)"
        raise InputError(
            f"{error}; {like}" if "literal" in str(error) else f"{text!r}: {like}"
        ) from None
    target, _, name = call.name.rpartition(":")
    if not target or not name:
        raise InputError(f"the loss is {text!r}; it must look like FILE_OR_MODULE:CLASS(args)")
    module = _run_file(Path(target)) if target.endswith(".py") else _import(target)
    cls = getattr(module, name, None)
    if not _is_loss(cls):
        found = [n for n, c in vars(module).items() if _is_loss(c) and c is not StructuralLoss]
        there = f"; there is {', '.join(found)}" if found else ""
        raise InputError(f"{target} has no class {name} derived from StructuralLoss{there}")
    try:
        loss = cls(*call.args, **call.kwargs)
        return _in_one_form(loss) if is_dataclass(loss) else loss
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise InputError(f"{text} cannot be made: {one_line(error)}") from None


def _is_loss(thing: Any) -> TypeGuard[type[StructuralLoss]]:
    return isinstance(thing, type) and issubclass(thing, StructuralLoss)


def named_loss(text: str) -> tuple[str, StructuralLoss]:
    """Return name and loss of ``NAME=FILE_OR_MODULE:CLASS(args)``; see `load_loss`.

    Examples
    --------
    >>> named_loss("soft=mlpspec.losses:Coverage(temperature=0.5)")
    ('soft', Coverage(temperature=0.5))
    """
    name, equals, rest = text.partition("=")
    if not equals or ":" in name or "(" in name:
        raise InputError(f"--loss is {text!r}; it must look like NAME=FILE_OR_MODULE:CLASS(args)")
    return check_name(name.strip()), load_loss(rest.strip())


def _run_file(path: Path) -> ModuleType:
    """Return the module that a file defines, run anew: never one that was loaded before."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    stem = re.sub(r"[^0-9a-zA-Z_]", "_", path.stem)
    name = f"{stem}_{hashlib.sha256(content).hexdigest()[:8]}_{next(_number)}"
    try:
        return run_source((name, str(path.resolve()), content))
    except BaseException as error:
        if is_interrupt(error):
            raise
        missing = isinstance(error, ModuleNotFoundError)
        mend = "; it may import installed packages, but no files beside it" if missing else ""
        raise InputError(f"{path} fails with {one_line(error)}{mend}") from None


def run_source(source: Source) -> ModuleType:
    """Return the module of a file's content, run under its name unless that is there already.

    Examples
    --------
    >>> run_source(("run_source_example", "example.py", b"two = 1 + 1")).two
    2
    """
    name, file, content = source
    if name in sys.modules:
        return sys.modules[name]
    OPENED.pop(file, None)
    module = ModuleType(name)
    module.__file__ = file
    module.__dict__["_mlpspec_content"] = content
    sys.modules[name] = module  # dataclasses and pickle look there
    try:
        exec(compile(content, file, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise InputError(
            f"there is no module {name!r}; give an installed module, or a file that ends in .py"
        ) from None
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise InputError(f"the module {name} fails with {one_line(error)}") from None


def source_of(cls: type) -> str:
    """Return the digest of what defines a class and its bases outside this package.

    Examples
    --------
    >>> from mlpspec.losses import Coverage
    >>> source_of(Coverage)
    'mlpspec'
    """
    contents = [_source_of_class(base)[1] for base in _outside_bases(cls)]
    if not contents:
        return "mlpspec"
    return hashlib.sha256(b"\0".join([*contents, *dependencies(cls).digests])).hexdigest()[:16]


def dependencies(cls: type) -> Dependencies:
    """Return what the formula of a class depends on beyond the files of itself and its bases.

    Examples
    --------
    >>> from mlpspec.losses import Coverage
    >>> dependencies(Coverage).texts
    {}
    """
    classes = _outside_bases(cls)
    return Dependencies(classes, dict(map(_source_of_class, classes)))


def code_of(cls: type) -> tuple[list[Source], set[ModuleType]]:
    """Return where the code of a class lies outside this package.

    Returns
    -------
    sources : list of Source
        Files that were run, which no other process could import.
    modules : set of modules
        Others that define the class and its bases, or that its formula depends on.

    Examples
    --------
    >>> from mlpspec.losses import Coverage
    >>> code_of(Coverage)
    ([], set())
    """
    modules = dependencies(cls).modules
    run = {module for module in modules if "_mlpspec_content" in vars(module)}
    sources = [(m.__name__, str(m.__file__), vars(m)["_mlpspec_content"]) for m in run]
    return sources, modules - run


def _outside_bases(cls: type) -> list[type]:
    """Return the class and those of its bases that neither Python nor this package defines."""
    outside = []
    for base in cls.__mro__:
        known = base.__module__.partition(".")[0] in {*sys.stdlib_module_names, "mlpspec"}
        # A class that was made by exec says that it is of builtins, but is not there.
        there = getattr(sys.modules.get(base.__module__), base.__name__, None) is base
        if base.__module__ == "__main__" or not (known and there):
            outside.append(base)
    return outside


@cache  # cloudpickle changes a class that it loads in its own process: no file is named then
def _source_of_class(cls: type) -> tuple[str, bytes]:
    """Return name and content of the file, or of the notebook's cell, that defines a class."""
    module = sys.modules.get(cls.__module__)
    space = {} if module is None else vars(module)
    method = vars(cls).get("value_and_grad") or vars(cls).get("value")
    code = None if "_mlpspec_content" in space else getattr(method, "__code__", None)
    name = str(space.get("__file__", "")) if code is None else code.co_filename
    text = source_text(name, space)
    if not text:
        raise InputError(
            f"the source of the loss {cls.__qualname__} cannot be found, so that changes to it "
            "would go unseen; define it in a file"
        )
    return name, text
