"""Networks as starts and as targets: described by their content, and held in memory.

A setting says ``run:KEY@NEURON:DIGEST``: the end of the run KEY. What counts is what follows the
``@``, the kind of neuron and a digest of the parameters. Whoever has these (`mlpspec.Results.end`,
a results directory that keeps them) holds them here, for all that then reads such a description.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mlpspec.data.datasets import canonical_target
from mlpspec.data.tabular import hash_of
from mlpspec.errors import InputError, unknown
from mlpspec.network.neurons import Params, RadialParams, RidgeParams, canonical_neuron

RUN = "run:"
"""How the description of the end of a run begins."""

STARTS = ("start", "placebo")
"""Streams from which a start is drawn."""

ENDS = ("start", "target")
"""Settings that may be the end of a run."""

GIVEN = "give --set {0}=run:DIRECTORY/KEY, in Python {0}=mlpspec.load(DIRECTORY).end(KEY)"
"""How a setting is given as the end of a run."""

HELD: dict[str, Params] = {}
"""Networks, R = 1, by what follows the ``@``."""

_FORM = re.compile(r"run:(\w*)@(.+:[0-9a-f]{16})")


def hold(params: Params, name: str = "params") -> str:
    """Hold a network; return its description, as `start` and `target` take it.

    Parameters
    ----------
    params : Params
        R = 1.
    name : str
        A key, or what else says whose parameters these are; letters, digits and ``_``.

    Raises
    ------
    ValueError
        Several networks, parameters that are not finite or of another type, or such a name.

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> text = hold(RidgeParams.placed(np.array([[0.5]]), np.array([2.0]), np.array([3.0])))
    >>> text, content_of(text)
    ('run:params@ridge:9a864e7b2b100d56', 'ridge:9a864e7b2b100d56')
    """
    if not isinstance(params, (RidgeParams, RadialParams)):
        raise InputError(
            f"a {type(params).__name__} is no network; give RidgeParams or RadialParams, such as "
            "mlpspec.train(...).params"
        )
    flat = params.flatten()
    if len(flat) != 1 or flat.dtype not in (np.float64, np.float32) or not np.isfinite(flat).all():
        raise InputError(
            f"R is {len(flat)}, of {flat.dtype}; give one network, of finite float64 or float32"
        )
    if not re.fullmatch(r"\w+", name):
        raise InputError(f"the name of a network is {name!r}; use letters, digits and '_' only")
    neuron = canonical_neuron(f"ridge(epsilon={params.EPSILON!r})")
    neuron = "radial" if isinstance(params, RadialParams) else neuron
    little = flat.astype(flat.dtype.newbyteorder("<"))
    head = f"{neuron} {params.shape} {little.dtype.str} "
    content = f"{neuron}:{hash_of(head.encode() + little.tobytes())}"
    flat.flags.writeable = False
    HELD[content] = type(params).unflatten(flat, params.shape[2])
    return f"{RUN}{name}@{content}"


def place_of(n_samples: int, seed: int) -> str:
    """Return what stands for the data of a run where each has a start of its own.

    Examples
    --------
    >>> place_of(10, 3)
    'N = 10, seed 3'
    """
    return f"N = {n_samples}, seed {seed}"


def content_of(text: Any) -> str | None:
    """Return the kind of neuron and the digest that a description ends with; None of any other.

    Examples
    --------
    >>> content_of("run:dc7bb7477c92cb54@radial:0123456789abcdef")
    'radial:0123456789abcdef'
    >>> content_of("placebo")
    """
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else found[2]


def without_key(text: str) -> str:
    """Return what a description stands for: of the end of a run, the content alone.

    Examples
    --------
    >>> without_key("run:dc7bb7477c92cb54@radial:0123456789abcdef"), without_key("sine")
    ('run:@radial:0123456789abcdef', 'sine')
    """
    content = content_of(text)
    return text if content is None else f"{RUN}@{content}"


def network_of(setting: str, text: str) -> Params | None:
    """Return the network that a value of ``setting`` describes; None if it describes none.

    Raises
    ------
    ValueError
        It is not held.

    Examples
    --------
    >>> network_of("target", "sine")
    """
    content = content_of(text)
    if content is not None and content not in HELD:
        raise InputError(
            f"the parameters of {setting}={text} are not in memory; {GIVEN.format(setting)}"
        )
    return None if content is None else HELD[content]


def canonical_start(value: Any) -> str:
    """Return the stream of a start, or the description of a network.

    Raises
    ------
    ValueError
        It is neither.

    Examples
    --------
    >>> canonical_start("placebo")
    'placebo'
    """
    if _is_end("start", value) or value in STARTS:
        return str(value)
    raise unknown("start", value, STARTS)


def canonical_goal(value: Any) -> str:
    """Return a target (`mlpspec.data.datasets.canonical_target`), or the description of a network.

    Raises
    ------
    ValueError
        It is neither.

    Examples
    --------
    >>> canonical_goal("sine")
    'sine'
    """
    return str(value) if _is_end("target", value) else canonical_target(value)


def _is_end(setting: str, value: Any) -> bool:
    if not isinstance(value, str) or not value.startswith(RUN):
        return False
    if content_of(value) is None:
        raise InputError(f"{setting} is {value!r}; {GIVEN.format(setting)}")
    return True
