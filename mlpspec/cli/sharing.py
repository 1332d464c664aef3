"""The commands for several results directories: ``diff`` and ``merge``."""

from __future__ import annotations

import shlex
from argparse import Namespace
from dataclasses import astuple
from pathlib import Path

from mlpspec.analysis.difference import Difference, difference, read_side
from mlpspec.cli.terminal import FAILED, put
from mlpspec.running import provenance
from mlpspec.store import merge as merging
from mlpspec.store.merge import MOST_NAMED


def diff(arguments: Namespace) -> int:
    """Print in what two results directories differ; fail unless they are alike."""
    sides = read_side(arguments.first), read_side(arguments.second)
    found = difference(*sides, arguments.tolerance)
    for name, side in zip("AB", sides, strict=True):
        what = "" if side.results else "; no store, its tables serve"
        what += "" if side.results or side.verdicts else ", and there is no claims.csv"
        put(f"{name:10}{side.directory}: {side.study}, {len(side.table['key'])} runs{what}")
    counts = found.runs
    put(
        f"runs      {counts['both']} in both, {counts['first']} in A alone, {counts['second']} in "
        "B alone"
    )
    _put_list(
        "settings", [f"{name}: {a} in A; {b} in B" for name, (a, b) in found.settings.items()]
    )
    _put_list("made with", found.made_with)
    if found.measurements:
        put(f"{'measurement':34}{'largest':>10}{'median':>10}   runs beyond {found.tolerance:g}")
    for name, largest, median, beyond in map(astuple, found.measurements):
        put(f"  {name:32}{largest:10.2g}{median:10.2g}{beyond:7}")
    if found.worst:
        put(f"largest   {found.worst}")
    for name in found.unshared:
        put(f"          {name} is measured on one side alone")
    for key in found.status[:MOST_NAMED]:
        put(f"status    {key} ended otherwise")
    if found.bits is None:
        put("bits      cannot be compared: parameters are in the stores alone")
    elif counts["both"]:
        put(f"bits      equal in the final parameters of {found.bits[0]} of {found.bits[1]} runs")
    if found.data:
        put(f"data      {found.data} runs were trained on other data")
    counts = found.judged
    put(
        f"verdicts  {counts['both']} judged by both, {len(found.flips)} of them flip; "
        f"{counts['first']} by A alone, {counts['second']} by B alone"
    )
    for a, b in found.flips:
        put(f"          {a.claim} ({a.basis}): {a.verdict} in A, {b.verdict} in B")
    inside = [merging.folders_inside(side.directory).keys() for side in sides]
    for folder in sorted(inside[0] & inside[1]):
        both = [str(side.directory / folder) for side in sides]
        put(f"inside    {shlex.join(['mlpspec', 'diff', *both])}")
    put(_answer(found))
    return 0 if found.alike else FAILED


def _put_list(title: str, lines: list[str]) -> None:
    for line in lines or ["no difference"]:
        put(f"{title:10}{line}")
        title = ""


def _answer(found: Difference) -> str:
    """Return in one line whether the one directory reproduces the other."""
    both, alone = found.runs["both"], found.runs["first"] + found.runs["second"]
    if not both:
        return "not reproduced: no run is in both"
    close = both - found.beyond
    parts = [f"{close} of {both} runs agree within {found.tolerance:g}"]
    if found.bits:
        parts.append(f"{found.bits[0]} to the bit")
    judged = found.judged["both"]
    if judged:
        parts.append(f"{judged - len(found.flips)} of {judged} verdicts are the same")
    if alone:
        parts.append(f"{alone} runs are in one alone")
    if found.alike:
        word = "reproduced"
    elif close == both and not found.data:
        word = "reproduced as far as both go"
    elif judged and not found.flips:
        word = "reproduced in the verdicts, not run by run"
    else:
        word = "not reproduced"
    return f"{word}: {', '.join(parts)}"


def merge(arguments: Namespace) -> int:
    """Write the runs of several results directories into a new one."""
    out = Path(arguments.out)
    about = {**provenance.collect(arguments.line, "numpy"), "jobs": 0}
    first = arguments.prefer == "first"
    done = merging.merge(arguments.directories, out, prefer_first=first, about=about)
    for merged in done:
        given = ", ".join(f"{count} of {place}" for place, count in merged.runs.items())
        put(f"{out / merged.folder}: {sum(merged.runs.values())} runs: {given}")
        if merged.repeated:
            same = merged.repeated - len(merged.preferred)
            put(f"  {merged.repeated} are in several directories, {same} of them with equal bits")
        if merged.preferred:
            some = ", ".join(merged.preferred[:MOST_NAMED])
            some += ", ..." if len(merged.preferred) > MOST_NAMED else ""
            put(
                f"  {len(merged.preferred)} have other bits in another directory, and are those of "
                f"the first that has them: {some} (all in provenance.json)"
            )
        if merged.missing:
            put(f"  {merged.missing} runs of the joined study have no result yet")
        for line in merged.apart:
            put(f"  made with {line}")
    for place in map(Path, arguments.directories):
        for folder, stored in merging.folders_inside(place).items():
            if not stored:
                put(f"{place / folder} has no store and is left out")
    put(f"continue with: mlpspec run STUDY ... --out {shlex.quote(str(out))}, or mlpspec report")
    return 0
