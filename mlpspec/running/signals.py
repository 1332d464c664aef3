"""When Ctrl-C and a request to end are heard."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

from joblib.externals.loky.backend import resource_tracker as loky_tracker


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the end."""
    if threading.current_thread() is not threading.main_thread():  # signals do not come here
        yield
        return
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for waiting in dict.fromkeys(received):
            signal.raise_signal(waiting)


@contextlib.contextmanager
def unreachable_by_ctrl_c() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach; for this one it waits until the end.

    A terminal sends it to all, and a worker that is still loading modules would die of it with a
    traceback. A blocked signal stays blocked in the processes that are started meanwhile; in this
    one another thread may hear it, for which the main thread would be interrupted.
    """
    with deferred():
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            yield
            return
        # Each of these unblocks the signal once it has started, and the first worker starts both.
        resource_tracker.ensure_running()
        loky_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
