"""The verdicts on a page: a line a claim with marks over N, what follows, and details on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from mlpspec.analysis.claims import BOTH_WAYS, Verdict

FOLLOWS = {
    "holds": "It can be relied on: on fresh seeds it holds at every N, by a margin that matters.",
    "in part": "It can be relied on at the N with a filled mark, where it holds on fresh seeds by "
    "a margin that matters, and not at the others.",
    "fails": "It should not be built on: on fresh seeds it holds at no N by a margin that "
    "matters, and is contradicted where there is a cross.",
    "undetermined": "Nothing follows: on fresh seeds it neither holds by a margin that matters nor "
    "is contradicted, at any N.",
    "transient": "It is a matter of patience: on fresh seeds it holds early in training at the N "
    "with a filled mark, and nowhere after the most steps.",
}
"""What a calibrated verdict means for a reader."""

STATED = {
    "holds": "It is met at every N on the means of these seeds.",
    "mixed": "On the means of these seeds it is met at some N, not at others, and contradicted "
    "at none.",
    "fails": "On the means of these seeds it is met at fewer than half the N, or contradicted "
    "at one.",
    "untested": "It could not be judged.",
}
"""The same of a stated verdict, where fresh seeds have not spoken."""

STATED_BOTH_WAYS = {
    "holds": "On the means of these seeds the error is lower at some N and higher at others.",
    "fails": "On the means of these seeds the error goes one way only.",
}
"""The same of a claim that goes both ways: of C3, that an error is lower here, higher there."""

ORDER = ("holds", "in part", "mixed", "transient", "undetermined", "fails", "untested")


def content(verdicts: Sequence[Verdict]) -> str:
    """Return what a page says of the verdicts, in HTML: a summary, the marks, and every claim.

    Examples
    --------
    >>> content([Verdict("C1", "It is so", "calibrated", "holds", sizes="3", met_at="3")])[:42]
    '<p>One claim: on fresh seeds <i>holds</i> '
    """
    by_claim: dict[str, dict[str, Verdict]] = {}
    for verdict in verdicts:
        by_claim.setdefault(verdict.claim, {})[verdict.basis] = verdict
    sizes = sorted({size for verdict in verdicts for size in verdict.found_at})
    claims = (_claim(name, bases, sizes) for name, bases in by_claim.items())
    return (
        f"<p>{_summary(by_claim)}</p><p class='note'>A mark for every N: {_legend(by_claim)}</p>"
        + "".join(claims)
    )


def _summary(by_claim: Mapping[str, Mapping[str, Verdict]]) -> str:
    """Count the verdicts, as stated on means and calibrated."""
    parts = []
    for basis, words in (("stated, means", "stated, on means"), ("calibrated", "on fresh seeds")):
        judged = [bases[basis].verdict for bases in by_claim.values() if basis in bases]
        counts = Counter(judged)
        if counts and {*counts} != {"untested"}:
            told = ", ".join(f"<i>{word}</i> {counts[word]}" for word in ORDER if word in counts)
            parts.append(f"{words} {told}")
    claims = f"{len(by_claim)} claims" if len(by_claim) > 1 else "One claim"
    return f"{claims}: {'; '.join(parts)}." if parts else f"{claims}, none judged yet."


def _legend(by_claim: Mapping[str, Mapping[str, Verdict]]) -> str:
    words = ("met", "not met", "contradicted, beyond chance")
    marks = (_mark(word.partition(",")[0], word) for word in words)
    both = ", ".join(BOTH_WAYS & by_claim.keys())
    both = f" (of {both}, which goes both ways: lower, not lower, higher)" if both else ""
    return f"<span class='strip legend'>{''.join(marks)}</span>{both}"


def _mark(found: str, label: str, title: str = "") -> str:
    told = f" title='{escape(title)}'" if title else ""
    return f"<span class='mark {found.replace(' ', '-')}'{told}>{escape(label)}</span>"


def _claim(name: str, bases: Mapping[str, Verdict], sizes: Sequence[int]) -> str:
    """Return a claim: its words, its marks and verdicts, what follows, and the details."""
    first = next(iter(bases.values()))
    judged, details = "", ""
    for basis, verdict in bases.items():
        found = verdict.found_at
        marks = "".join(
            _mark(found[size], str(size), f"N = {size}: {found[size]}")
            if size in found
            else "<span class='mark absent'></span>"
            for size in sizes
        )
        look = verdict.verdict.replace(" ", "-")
        judged += (
            f"<div><small class='basis'>{escape(basis)}</small><span class='strip'>{marks}</span>"
            f"<span class='verdict {look}'>{verdict.verdict}</span></div>"
        )
        details += f"<dt>{escape(basis)}</dt><dd>{escape('; '.join(_details(verdict)))}</dd>"
    return (
        f"<div class='claim'><p><b>{escape(name)}</b> {escape(first.text)}</p>{judged}"
        f"<details><summary>{escape(_follows(bases))}</summary><dl>{details}</dl></details></div>"
    )


def _follows(bases: Mapping[str, Verdict]) -> str:
    calibrated = bases.get("calibrated")
    if calibrated is not None and calibrated.verdict in FOLLOWS:
        return FOLLOWS[calibrated.verdict]
    stated = next(iter(bases.values()))
    repeat = (
        " Ten seeds drawn again from those judged here would give the same verdict with a "
        f"probability of {stated.repeat:.2f}; fresh ones need not."
        if np.isfinite(stated.repeat)
        else ""
    )
    unknown = "" if calibrated is None else " Not judged on fresh seeds yet."
    told = STATED | (STATED_BOTH_WAYS if stated.claim in BOTH_WAYS else {})
    return told[stated.verdict] + repeat + unknown


def _details(verdict: Verdict) -> list[str]:
    details = [verdict.reading]
    if np.isfinite(verdict.effect):
        details.append(f"effect {verdict.effect:.3g} [{verdict.low:.3g}, {verdict.high:.3g}]")
    if np.isfinite(verdict.p_holm):
        details.append(f"p = {verdict.p_holm:.2g} (Holm)")
    if np.isfinite(verdict.repeat):
        details.append(f"repeats with probability {verdict.repeat:.2f}")
    return details
