"""How far the training of a study is, on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from mlpspec.running.planning import Batch, work
from mlpspec.store.store import Record


@contextlib.contextmanager
def progress_of(name: str, batches: list[Batch]) -> Iterator[Callable[[list[Record]], None]]:
    """Show runs done, runs failed and the time left, which counts work, not runs."""
    from tqdm import tqdm

    n_runs = sum(map(len, batches))
    total = sum(work(run) for batch in batches for run in batch)
    done = failed = finished = 0
    plain = sys.stderr is None or not sys.stderr.isatty()
    began = last = time.monotonic()
    bar = tqdm(
        total=total,
        disable=plain,
        bar_format="{desc} |{bar}| {percentage:3.0f}% {elapsed} < {remaining}",
        leave=True,
    )

    def show(records: list[Record]) -> None:
        nonlocal done, failed, finished, last
        done += len(records)
        failed += sum(record.status == "failed" for record in records)
        finished += sum(work(record.run) for record in records)
        text = f"{name}: {done}/{n_runs} runs, {failed} failed"
        bar.set_description_str(text, refresh=False)
        bar.update(finished - bar.n)
        if plain and (time.monotonic() - last > 5 or done == n_runs):
            last = time.monotonic()
            left = (last - began) * (total / finished - 1)
            print(f"{text}, {left:.0f} s left", file=sys.stderr, flush=True)

    def show_if_possible(records: list[Record]) -> None:
        # Nobody may be listening any more; that is no reason to stop training.
        with contextlib.suppress(OSError, ValueError):
            show(records)

    with bar:
        bar.set_description_str(f"{name}: 0/{n_runs} runs, 0 failed")
        yield show_if_possible
