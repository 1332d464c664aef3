"""Subsets of losses: their names, their order, and those that a study varies."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from mlpspec.errors import InputError
from mlpspec.losses import BUILT_IN
from mlpspec.study.extensions import check_name

MOST_LOSSES = 6
"""Losses of which all subsets can be asked for."""


def canonical_losses(losses: str | Iterable[str]) -> tuple[str, ...]:
    """Return names of losses in canonical order, from names or from a label like ``a+b``.

    The order is that of `BUILT_IN`, then alphabetical.

    Examples
    --------
    >>> canonical_losses("mine+overlap+coverage")
    ('coverage', 'overlap', 'mine')
    >>> canonical_losses("baseline")
    ()
    """
    if isinstance(losses, str):
        losses = [] if losses in ("", "baseline") else losses.split("+")
    if not isinstance(losses, Iterable):
        raise InputError(f"losses is {losses!r}; it must be a tuple of names, or a label like a+b")
    names = list(losses)
    for name in names:
        if name not in BUILT_IN:
            check_name(name)
    if len(set(names)) < len(names):
        raise InputError(f"losses name {'+'.join(names)}; each may occur once")
    return tuple(sorted(names, key=_rank))


def _rank(name: str) -> tuple[int, str]:
    return (BUILT_IN.index(name), "") if name in BUILT_IN else (len(BUILT_IN), name)


def subset_order(losses: Iterable[str]) -> tuple[Any, ...]:
    """Return what puts subsets of losses in order: the smaller ones first, then by their names.

    Examples
    --------
    >>> sorted([("overlap",), ("coverage", "overlap"), (), ("coverage",)], key=subset_order)
    [(), ('coverage',), ('overlap',), ('coverage', 'overlap')]
    """
    ranks = [_rank(name) for name in losses]
    return len(ranks), ranks


def subsets(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return all subsets of ``names``, the smaller ones first.

    Examples
    --------
    >>> subsets(("coverage", "overlap"))
    ((), ('coverage',), ('overlap',), ('coverage', 'overlap'))
    """
    names = tuple(names)
    return tuple(
        subset for size in range(len(names) + 1) for subset in itertools.combinations(names, size)
    )


def chosen_subsets(
    names: Iterable[str], which: str | Iterable[str | Iterable[str]]
) -> tuple[Any, ...]:
    """Return the subsets of ``names`` that ``which`` stands for, in canonical order.

    ``all``; ``singles``: none or one; ``pairs``: at most two; or labels, joined by commas; or an
    iterable of labels and tuples of names.

    Raises
    ------
    InputError
        All subsets of more than six losses, or what is no label.

    Examples
    --------
    >>> chosen_subsets(("mine", "overlap"), "singles")
    ((), ('overlap',), ('mine',))
    >>> chosen_subsets(("mine", "overlap"), "overlap+mine,baseline")
    ((), ('overlap', 'mine'))
    """
    names = canonical_losses(names)
    largest = {"all": len(names), "singles": 1, "pairs": 2}
    if isinstance(which, str) and which in largest:
        if which == "all" and len(names) > MOST_LOSSES:
            raise InputError(
                f"{len(names)} losses have {2 ** len(names)} subsets; the limit for all of them "
                f"is {MOST_LOSSES} losses: choose with --subsets singles, pairs or a list of labels"
            )
        return tuple(subset for subset in subsets(names) if len(subset) <= largest[which])
    if which == "":
        raise InputError("subsets is empty; say baseline for runs without a structural loss")
    given = which.split(",") if isinstance(which, str) else which
    labels = [label.strip() if isinstance(label, str) else label for label in given]
    found = {canonical_losses(label) for label in labels}
    return tuple(sorted(found, key=subset_order))
