"""How long the training of a study will take, and how far it is, on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

from mlpspec.losses import Formula
from mlpspec.running.planning import Batch, way_of, work
from mlpspec.running.signals import deferred
from mlpspec.running.worker import Extensions, train_batch
from mlpspec.store.store import Record
from mlpspec.study.run import Run
from mlpspec.study.study import Study
from mlpspec.training import engine as engines
from mlpspec.training.compiled import fill_cache

LONG = 0.05
"""Seconds of training in a probe beside which the noise of a clock is small."""

PROBED = 200
"""Runs of a batch, at the most, that are probed: of many, the others take as long."""

UNHEARD = OSError, ValueError
"""What writing raises where nobody listens any more; that is no reason to stop training."""

ONCE, START = 0.3, 1.0
"""Seconds that a study takes besides, about: in this process for its store and tables, or with
workers until they have loaded their modules."""


def estimate(
    study: Study, batches: list[Batch], n_jobs: int, engine: str
) -> tuple[float, dict[str, float]]:
    """Return about how many seconds the batches will take here, and how many of those each way.

    They are measured in a few steps of each shape and way (`mlpspec.running.planning.way_of`), as
    if no other program ran.
    """
    rates: dict[tuple[object, ...], tuple[float, float]] = {}
    seconds = []
    ways: dict[str, float] = {}
    if engine == "compiled":  # to compile takes longer than many steps, once
        fill_cache()
        with deferred():
            engines.prepare()
    for batch in batches:
        parts: dict[str, list[Run]] = {}  # a batch may have runs of several ways
        for run in batch:
            parts.setdefault(way_of(run, engine), []).append(run)
        seconds.append(0.0)
        for way, part in parts.items():
            run, some = part[0], tuple(part[:PROBED])
            shape = (way, run.n_samples, run.hidden_units, run.n_inputs, len(some))
            if shape not in rates:
                rates[shape] = _rates(some, study.own_losses, engine)
            step, once = rates[shape]
            taken = (step * run.steps + once) * len(part) / len(some)
            seconds[-1] += taken
            ways[way] = ways.get(way, 0.0) + taken / n_jobs
    longest = max(sum(seconds) / n_jobs, max(seconds))
    return longest + (START if n_jobs > 1 else ONCE), ways


def _rates(batch: Batch, extensions: Extensions, engine: str) -> tuple[float, float]:
    """Return about how many seconds a step of a batch takes, and what comes once."""

    def probe(steps: int) -> float:
        whole = partial(replace, losses_from=0.0, losses_until=1.0)  # of a step there is no share
        short = tuple(whole(run, steps=steps, record_every=0, record="every") for run in batch)
        began = time.process_time()  # in which other programs do not count
        train_batch(short, extensions, engine=engine)
        return time.process_time() - began

    def enough() -> bool:
        # What comes once may be long, too: of hundreds of runs that are measured at their end.
        return seconds >= once + max(LONG, once / 2)

    once = min(probe(0), probe(0))  # least disturbed, by other programs and by loading
    steps, seconds = 1, probe(1)
    while steps < batch[0].steps:
        if enough():  # unless it was a disturbance, which would be multiplied by all steps
            seconds, once = min(seconds, probe(steps)), probe(0)
            if enough():
                break
        steps = min(4 * steps, batch[0].steps)
        seconds = probe(steps)
    return max(seconds - once, 0.0) / steps, once


def write_above(text: str) -> None:
    """Write a line on stderr, above the bar where there is one."""
    from tqdm import tqdm

    with contextlib.suppress(*UNHEARD):
        tqdm.write(text, file=sys.stderr)


def formulas_of(study: Study) -> list[str]:
    """Return the names of a study's losses that are given by their formulas alone."""
    return [name for name, loss in study.own_losses.items() if isinstance(loss, Formula)]


def _bar() -> tuple[Any, bool]:
    """Return the class of bars, and whether it draws in a notebook."""
    if "ipykernel" not in sys.modules:
        from tqdm import tqdm

        return tqdm, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ipywidgets that are not installed: lines serve, too
        bar = import_module("tqdm.auto").tqdm
    return bar, any(base.__module__ == "tqdm.notebook" for base in bar.__mro__)


@contextlib.contextmanager
def progress_of(study: Study, batches: list[Batch]) -> Iterator[Callable[[list[Record]], None]]:
    """Show runs done, runs failed and the time left, which counts work, not runs.

    In a notebook with ipywidgets the bar is one of these; what makes a study slow is said first.
    """
    tqdm, drawn = _bar()
    name, formulas = study.name, formulas_of(study)
    n_runs = sum(map(len, batches))
    total = sum(work(run) for batch in batches for run in batch)
    done = failed = finished = 0
    plain = not drawn and (sys.stderr is None or not sys.stderr.isatty())
    began = last = time.monotonic()
    bar = tqdm(
        total=total,
        disable=plain,
        bar_format="{desc} |{bar}| {percentage:3.0f}% {elapsed} < {remaining}",
    )

    def show(records: list[Record]) -> None:
        nonlocal done, failed, finished, last
        done += len(records)
        failed += sum(record.status == "failed" for record in records)
        finished += sum(work(record.run) for record in records)
        text = f"{name}: {done}/{n_runs} runs, {failed} failed"
        with contextlib.suppress(*UNHEARD):
            bar.set_description_str(text, refresh=False)
            bar.update(finished - bar.n)
            if plain and (time.monotonic() - last > 5 or done == n_runs):
                last = time.monotonic()
                left = (last - began) * (total / finished - 1)
                print(f"{text}, {left:.0f} s left", file=sys.stderr, flush=True)

    if formulas:
        print(
            f"{name}: {' and '.join(formulas)} without a gradient of its own: differentiated "
            "automatically, 0.1 to 0.3 ms a run and step; a gradient by hand is much faster",
            file=sys.stderr,
        )
    with bar:
        bar.set_description_str(f"{name}: 0/{n_runs} runs, 0 failed")
        yield show
