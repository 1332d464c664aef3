"""Training on an existing Dask cluster. The only module that knows dask.distributed.

joblib's Dask backend waits for ever when a worker dies; here such batches are trained again.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Callable, Generator
from functools import cache, partial
from queue import Empty, SimpleQueue
from typing import Any

from threadpoolctl import threadpool_limits

from mlpspec.errors import InputError, WorkerLostError, import_extra
from mlpspec.running import provenance
from mlpspec.running.planning import Batch
from mlpspec.running.workers import in_attempts
from mlpspec.store.store import Record
from mlpspec.training.engine import why_not_compiled

logger = logging.getLogger(__name__)

TIMEOUT = 600.0
"""Seconds for which a cluster may have no worker, or its scheduler not answer."""

GREETING = 5.0
"""Seconds within which a scheduler greets whoever connects to it."""

_LACKS_MLPSPEC = "the cluster lacks mlpspec; install it where its scheduler and its workers run"


def connect(address: str) -> Any:
    """Return a client of the scheduler at ``address``, a context manager.

    Raises
    ------
    InputError
        No scheduler answers there, or dask.distributed is missing.
    """
    if not re.fullmatch(r"(tcp|tls|ucx)://.+:\d{1,5}", address):
        raise InputError(f"the Dask address is {address!r}; it must look like tcp://host:8786")
    distributed = import_extra("distributed", "dask", "a Dask cluster needs dask.distributed")
    try:
        if address.startswith("tcp:"):
            _check_greeting(address)
        settings = distributed.Security().get_connection_args("client")
        if address.startswith("tls:") and not settings.get("ssl_context"):
            raise ValueError("TLS needs certificates: distributed.comm.tls in Dask's settings")
        return distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({error}); the address looks like "
            "tcp://host:8786"
        ) from None


def _check_greeting(address: str) -> None:
    """Raise `OSError` unless a scheduler greets; other servers wait, and a client with them."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=GREETING) as connection:
        greeting = connection.recv(8, socket.MSG_WAITALL)
    # A message begins with its length: of another server's greeting that is some large number.
    if len(greeting) < 8 or int.from_bytes(greeting, "little") > 2**24:
        raise OSError("another program answers")


def describe(client: Any) -> dict[str, Any]:
    """Return what the provenance notes of a cluster: its threads and processors.

    Raises
    ------
    InputError
        The workers lack mlpspec.
    WorkerLostError
        No worker came within `TIMEOUT`.
    """
    try:
        client.wait_for_workers(1, timeout=TIMEOUT)
    except TimeoutError:
        raise WorkerLostError(f"the cluster had no worker for {TIMEOUT:.0f} s") from None
    try:
        processors = client.run(provenance.processor)
    except Exception as error:  # the scheduler passes a worker's errors on as text
        if "No module named 'mlpspec'" in str(error):
            raise InputError(_LACKS_MLPSPEC) from None
        raise
    return {
        "jobs": sum(client.nthreads().values()),
        "processor": "; ".join(sorted(set(processors.values()))),
    }


def train_batches(
    client: Any, function: Callable[[Batch], list[Record]], engine: str, batches: list[Batch]
) -> Generator[list[Record]]:
    """Train batches on the cluster, as `mlpspec.running.runner` says.

    Dask tries a batch again whose worker was killed. When it gives up, the runs of the batch are
    tried one by one when all others are done.

    Raises
    ------
    InputError
        The workers lack mlpspec or have other versions.
    WorkerLostError
        The cluster had no workers, or no scheduler, for longer than `TIMEOUT`.
    """
    work = partial(_work, function, engine=engine, versions=provenance.versions(engine))
    yield from in_attempts(partial(_attempt, client, work), batches, whole=1)


def _attempt(
    client: Any, work: Callable[[Batch], list[Record]], batches: list[Batch]
) -> Generator[list[Record], None, list[Batch]]:
    """Train batches; return those that Dask gave up, since their workers were killed."""
    from distributed import KilledWorker

    done: SimpleQueue[Any] = SimpleQueue()
    waiting: dict[Any, Batch] = {}
    lost: list[Batch] = []

    def submit(batch: Batch) -> None:
        future = client.submit(work, batch, pure=False)
        waiting[future] = batch
        future.add_done_callback(done.put)

    try:
        for each in batches:
            submit(each)
        yield []
        while waiting:
            future = _next(client, done)
            batch = waiting.pop(future, None)
            if batch is None:  # a result that was lost has been computed again after all
                continue
            if future.status in ("cancelled", "lost"):  # it lay on a worker that was killed since
                submit(batch)
                continue
            try:
                yield future.result(timeout=TIMEOUT)
            except KilledWorker:
                logger.warning("workers were killed that trained a batch of %d runs", len(batch))
                lost.append(batch)
            except (ModuleNotFoundError, RuntimeError) as error:
                first = str(error).strip().partition("\n")[0]
                if not re.search("No module named|Error during deserialization", first):
                    raise
                raise InputError(f"{_LACKS_MLPSPEC} ({first})") from None
            except TimeoutError:
                raise WorkerLostError("the cluster lost a result and has no worker left") from None
    finally:
        client.cancel(list(waiting))
    return lost


def _next(client: Any, done: SimpleQueue[Any]) -> Any:
    """Return the next future that is done."""
    alone_since = None
    while True:
        try:
            future = done.get(timeout=1.0)
        except Empty:
            connected = client.status == "running"
            if connected and client.nthreads():
                alone_since = None
                continue
            if alone_since is None:
                alone_since = time.monotonic()
                logger.warning("the cluster has no worker or no scheduler; waiting for it")
            if time.monotonic() - alone_since > TIMEOUT:
                lack = "no worker" if connected else "no scheduler"
                raise WorkerLostError(f"the cluster had {lack} for {TIMEOUT:.0f} s") from None
        else:
            if future.status in ("cancelled", "lost") and client.status != "running":
                raise WorkerLostError("the cluster's scheduler was lost")
            return future


def _work(
    function: Callable[[Batch], list[Record]],
    batch: Batch,
    engine: str,
    versions: dict[str, str | None],
) -> list[Record]:
    installed = provenance.versions(engine)
    for name, wanted in versions.items():
        if installed[name] != wanted:
            raise InputError(
                f"a worker of the cluster has {name} {installed[name]}, here it is {wanted}, which "
                "may give other bits; install the same version there"
            )
    reason = why_not_compiled() if engine == "compiled" else None
    if reason:
        raise InputError(
            f"a worker of the cluster cannot use the compiled engine: {reason}; mend it there, or "
            "give --engine numpy"
        )
    _one_thread()
    return function(batch)


@cache
def _one_thread() -> None:
    # For good: a batch that ends must not give BLAS its threads back while another one trains.
    threadpool_limits(limits=1, user_api="blas")
