"""Verdicts as readers see them: on the page, in the terminal's table and in the picture."""

import html
import io
import re
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from mlpspec.analysis.claims import FOUND, Verdict
from mlpspec.analysis.comparisons import as_table
from mlpspec.cli import results
from mlpspec.report import figures, verdicts
from mlpspec.report.figures.verdicts import COLOURS

STATED = Verdict(
    "C4", "more & more", "stated, means", "mixed", 8, 7, 1, "3 5 10 20", "3 10", "20", repeat=0.42,
    reading="7 of 8 demands met",
)  # fmt: skip
FRESH = replace(STATED, basis="calibrated", verdict="in part", sizes="5 10", met_at="5", p_holm=0.5)
UNTESTED = Verdict("C4", "more & more", "calibrated", "untested", reading="runs are missing")


def marks(page):
    """The words of the marks of each strip but the legend's, by N."""
    strips = re.findall(r"<span class='strip'>(.*?)<span class='verdict", page)
    return [re.findall(r"class='mark (\S+)' title='N = (\d+): ", strip) for strip in strips]


def test_a_claim_has_a_mark_for_every_n_and_its_details_on_demand():
    page = verdicts.content([STATED, FRESH])
    stated, fresh = marks(page)
    assert stated == [("met", "3"), ("not-met", "5"), ("met", "10"), ("contradicted", "20")]
    assert fresh == [("met", "5"), ("not-met", "10"), ("contradicted", "20")]
    assert page.count("mark absent") == 1  # fresh seeds have no N = 3; the others stay in line
    shown, details = page.split("<dl>")
    assert "<b>C4</b> more &amp; more</p>" in shown
    assert "demands" not in shown
    assert "7 of 8 demands met" in details
    assert "p = 0.5 (Holm)" in details
    assert html.escape(verdicts.FOLLOWS["in part"]) in shown


@pytest.mark.parametrize("verdict", ["holds", "mixed", "fails", "untested"])
def test_what_follows_before_fresh_seeds_have_spoken(verdict):
    page = verdicts.content([replace(STATED, verdict=verdict), UNTESTED])
    (told,) = re.findall("<summary>(.*?)</summary>", page)
    assert told.startswith(verdicts.STATED[verdict])
    assert "probability of 0.42" in told
    assert told.endswith("Not judged on fresh seeds yet.")
    assert f"stated, on means <i>{verdict}</i> 1" in page or verdict == "untested"


def test_every_verdict_has_a_colour_a_place_and_a_meaning():
    assert {*COLOURS} == {*verdicts.ORDER} == {*verdicts.FOLLOWS} | {*verdicts.STATED}


@pytest.mark.parametrize(("encoding", "strip"), [("utf-8", FOUND), ("ascii", "+.x")])
def test_the_terminal_has_the_same_strip(monkeypatch, encoding, strip):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    met, unmet, against = strip.values() if isinstance(strip, dict) else strip
    head, line, untested, legend, repeats = results._verdict_lines([STATED, UNTESTED])
    monkeypatch.undo()
    assert line.split()[:3] == ["C4", met + unmet + met + against, "mixed"]
    assert line.index(met) == head.index("stated, means")
    assert untested == "untested: runs are missing"
    assert legend.startswith("marks: at N = 3, 5, 10, 20; ")
    assert f"{against} contradicted" in legend
    assert repeats.startswith("repeats: how often ten seeds of those judged here")


@pytest.mark.parametrize(("claim", "told"), [("C3", True), ("C4", False)])
def test_the_picture_says_what_the_marks_of_c3_mean(claim, told):
    table = as_table([asdict(replace(STATED, claim=claim))])
    texts = [text.get_text() for text in figures.draw("verdicts", table).legends[0].get_texts()]
    assert ("(C3: lower, not lower, higher)" in texts) is told
    assert texts[0] == "at N = 3, 5, 10, 20:"


def test_the_picture_has_the_same_marks():
    table = as_table([asdict(verdict) for verdict in (STATED, FRESH)])
    lines = figures.draw("verdicts", table).axes[0].lines
    looks = [(line.get_marker(), line.get_markerfacecolor() == "white") for line in lines]
    assert looks.count(("x", False)) == 2
    assert looks.count(("o", True)) == 2
    assert looks.count(("o", False)) == 3
    at = [float(np.squeeze(line.get_xdata())) for line in lines]
    assert at[:4] == sorted(at[:4])
    assert at[4] - at[1] == at[5] - at[2]  # an N has its place, whichever others there are
