"""Networks as starts and as targets: described by their content, and held in memory.

A setting says ``run:KEY@NEURON:DIGEST``: the end of the run KEY (`mlpspec.data.held`). What counts
is what follows the ``@``, the kind of neuron and a digest of the parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from mlpspec.data.datasets import canonical_target
from mlpspec.data.held import HELD, RUN, content_of, hash_of, hold_content
from mlpspec.errors import InputError, unknown
from mlpspec.network.neurons import Params, RadialParams, RidgeParams, canonical_neuron, neuron_of

STARTS = ("start", "placebo")
"""Streams from which a start is drawn."""

ENDS = ("start", "target")
"""Settings that may be the end of a run."""

GIVEN = "give --set {0}=run:DIRECTORY/KEY, in Python {0}=mlpspec.load(DIRECTORY).end(KEY)"
"""How a setting is given as the end of a run."""


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
    hold_content(content, flat, np.array([params.shape[2]], dtype=float))
    return f"{RUN}{name}@{content}"


def size_and_seed(n_samples: int, seed: int) -> str:
    """Return what stands for the data of a run where each has a start of its own.

    Examples
    --------
    >>> size_and_seed(10, 3)
    'N = 10, seed 3'
    """
    return f"N = {n_samples}, seed {seed}"


def starts_of(rows: Iterable[tuple[int, int, str]]) -> dict[str, str]:
    """Return the start for each N and seed, from those of runs; none if any has several.

    Examples
    --------
    >>> starts_of([(5, 0, "run:@a"), (5, 1, "run:@b"), (5, 0, "run:@a")])
    {'N = 5, seed 0': 'run:@a', 'N = 5, seed 1': 'run:@b'}
    >>> starts_of([(5, 0, "run:@a"), (5, 0, "run:@b")])
    {}
    """
    starts: dict[str, str] = {}
    for n_samples, seed, start in rows:
        if starts.setdefault(size_and_seed(n_samples, seed), start) != start:
            return {}
    return starts


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
    if content is None:
        return None
    if content not in HELD:
        raise InputError(
            f"the parameters of {setting}={text} are not in memory; {GIVEN.format(setting)}"
        )
    flat, n_inputs = HELD[content]
    return neuron_of(content.rpartition(":")[0]).unflatten(flat, int(n_inputs[0]))


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


def canonical_target_or_end(value: Any) -> str:
    """Return a target (`mlpspec.data.datasets.canonical_target`), or the description of a network.

    Raises
    ------
    ValueError
        It is neither.

    Examples
    --------
    >>> canonical_target_or_end("sine")
    'sine'
    """
    return str(value) if _is_end("target", value) else canonical_target(value)


def _is_end(setting: str, value: Any) -> bool:
    if not isinstance(value, str) or not value.startswith(RUN):
        return False
    if content_of(value) is None:
        raise InputError(f"{setting} is {value!r}; {GIVEN.format(setting)}")
    return True
