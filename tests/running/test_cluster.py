"""Training on a real Dask cluster on this machine: one scheduler, two worker processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import COMMAND, LONG, ROOT, finish, runs_csv, same_bits, start_mlpspec, stored

import mlpspec
from mlpspec.errors import KILLED, InputError, WorkerLostError
from mlpspec.running import cluster, provenance
from mlpspec.running.worker import train_batch

# Which is not imported before it is needed: that takes a while.
pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="needs distributed")

SMALL = mlpspec.studies.paper().replace(seed=(0, 1), n_samples=(3, 10), steps=40)


ENVIRONMENT = {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{Path(__file__).parent}",  # `deadly`, by name
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
}


class Cluster:
    """Processes of a cluster; each is killed, not asked, at the end."""

    def __init__(self, place):
        self.place = place
        self.file = place / "scheduler.json"
        self.workers = []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        deadline = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def start(self, *arguments):
        name = f"{arguments[0]}-{len(self.workers)}"
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
        with (self.place / name).open("w") as log:
            return subprocess.Popen(
                [*command, "--scheduler-file", str(self.file)],
                cwd=self.place,
                env={**os.environ, **ENVIRONMENT},
                stdout=log,
                stderr=log,
            )

    def add_worker(self):
        worker = self.start("worker", "--nthreads", "1", "--no-nanny")
        self.workers.append(worker)
        return worker

    @property
    def address(self):
        return json.loads(self.file.read_text())["address"]


@pytest.fixture
def cluster_here(tmp_path):
    (tmp_path / "cluster").mkdir()
    here = Cluster(tmp_path / "cluster")
    try:
        yield here
    finally:
        for process in (*here.workers, here.scheduler):
            process.kill()
            process.wait()


@pytest.mark.slow
def test_same_bits_although_a_worker_is_killed(cluster_here, undisturbed, tmp_path):
    first, _ = cluster_here.add_worker(), cluster_here.add_worker()
    process = start_mlpspec(*COMMAND, "--dask", cluster_here.address, cwd=tmp_path)
    while stored(tmp_path / "r") == 0 and process.poll() is None:
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    assert process.poll() is None
    status, out, err = finish(process, tmp_path, timeout=120)
    assert status == 0, err
    assert f"trained {len(LONG.runs)} runs" in out
    assert runs_csv(tmp_path / "r") == undisturbed
    (session,) = mlpspec.load(tmp_path / "r").sessions
    assert session["processor"] == provenance.processor()


def deadly(batch):
    """Train, but for one run that kills its worker."""
    if any(run.label == "overlap" and run.seed == 1 and run.n_samples == 3 for run in batch):
        os.kill(os.getpid(), signal.SIGKILL)
    return train_batch(batch)


@pytest.mark.slow
def test_only_the_run_that_kills_its_workers_fails(cluster_here):
    for _ in range(2):
        cluster_here.add_worker()
    batches = [
        SMALL.runs[:2],
        SMALL.runs[2:4],
        tuple(r for r in SMALL.runs if r.label == "overlap"),
    ]
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(cluster.connect(cluster_here.address))
        # No nanny starts a worker again here: the test does.
        records = []
        finished = cluster.train_batches(client, deadly, "numpy", batches)
        over = threading.Event()

        def look_after():
            while not over.wait(0.2):
                if sum(worker.poll() is None for worker in cluster_here.workers) < 2:
                    cluster_here.add_worker()

        nanny = threading.Thread(target=look_after)
        nanny.start()
        stack.callback(nanny.join)
        stack.callback(over.set)
        for some in finished:
            records += some
    failed = [record for record in records if record.status == "failed"]
    assert [(r.run.label, r.run.seed, r.run.n_samples, r.error) for r in failed] == [
        ("overlap", 1, 3, KILLED)
    ]
    assert {r.run.key for r in records} == {run.key for batch in batches for run in batch}


def noted(path, batch):
    """Train, and leave a line in a file."""
    with path.open("a") as file:
        file.write(f"{batch[0].key}\n")
    return train_batch(batch)


@pytest.mark.slow
def test_a_result_that_lay_on_a_killed_worker_is_computed_again(cluster_here, tmp_path):
    killed, batches = cluster_here.add_worker(), [SMALL.runs[:2], SMALL.runs[2:4]]
    work = partial(noted, tmp_path / "trained")
    with cluster.connect(cluster_here.address) as client:
        finished = cluster.train_batches(client, work, "numpy", batches)
        assert next(finished) == []
        while sum(map(len, client.who_has().values())) < 2:  # both are done, and neither fetched
            time.sleep(0.05)
        killed.kill()
        while client.nthreads():
            time.sleep(0.05)
        cluster_here.add_worker()
        records = {record.run.key: record for some in finished for record in some}
    assert (tmp_path / "trained").read_text().split().count(batches[0][0].key) == 2
    for record in train_batch(SMALL.runs[:4]):
        assert same_bits(records.pop(record.run.key).params, record.params)
    assert not records


@pytest.mark.slow
def test_a_cluster_that_is_gone_ends_the_study(cluster_here, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "TIMEOUT", 3.0)
    worker = cluster_here.add_worker()
    long = SMALL.replace(steps=10**6)
    threading.Timer(6.0, worker.kill).start()
    with pytest.raises(WorkerLostError, match="had no worker for 3 s; 0 runs are"):
        mlpspec.run_study(long, tmp_path / "r", dask=cluster_here.address)
    cluster_here.add_worker()
    threading.Timer(6.0, cluster_here.scheduler.kill).start()
    with pytest.raises(WorkerLostError, match="scheduler"):
        mlpspec.run_study(long, tmp_path / "r", dask=cluster_here.address)


@pytest.mark.slow
def test_losses_of_ones_own_travel(cluster_here, tmp_path):
    (tmp_path / "own.py").write_text(
        "from dataclasses import dataclass\n"
        "from mlpspec import StructuralLoss\n"
        "@dataclass(frozen=True)\n"
        "class Small(StructuralLoss):\n"
        "    power: int = 2\n"
        "    def value_and_grad(self, forward):\n"
        "        w = forward.params.hidden_weight\n"
        "        return (w**2).mean(axis=(1, 2)), {'hidden_weight': 2 * w / w[0].size}\n"
    )
    cluster_here.add_worker()
    command = ["run", "--only", "--seeds", "0:2", "--sizes", "3", "--set", "steps=20"]
    command += ["--loss", "small=own.py:Small()", "--subsets", "singles"]
    for out, where in (("here", ["--jobs", "1"]), ("there", ["--dask", cluster_here.address])):
        process = start_mlpspec(*command, "--out", out, *where, cwd=tmp_path)
        status, _, err = finish(process, tmp_path)
        assert status == 0, err
    assert runs_csv(tmp_path / "there") == runs_csv(tmp_path / "here")
    assert {row["losses"] for row in runs_csv(tmp_path / "there")} >= {"small", "baseline"}


@pytest.mark.parametrize("address", ["", "foo", "8786", "http://a:1", "inproc://x"])
def test_addresses_that_are_none(address):
    from mlpspec.running import cluster

    with pytest.raises(InputError, match="must look like tcp://host:8786"):
        cluster.connect(address)


def test_an_encrypted_address_without_certificates_is_refused_before_a_client_hangs():
    from mlpspec.running import cluster

    with pytest.raises(InputError, match="TLS needs certificates"):
        cluster.connect("tls://127.0.0.1:1")


@pytest.mark.slow
def test_no_cluster_there(tmp_path):
    with pytest.raises(InputError, match=r"no Dask scheduler answers at 'tcp:"):
        mlpspec.run_study(SMALL, tmp_path / "r", dask="tcp://127.0.0.1:1")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("error", "told", "message"),
    [
        (RuntimeError("out of memory"), RuntimeError, "^out of memory$"),
        (ModuleNotFoundError("No module named 'mlpspec'"), InputError, "the cluster lacks mlpspec"),
        (RuntimeError("\nError during deserialization of the task"), InputError, "lacks mlpspec"),
    ],
)
def test_what_a_worker_raises_is_told_as_it_is(error, told, message):
    class Future:
        status = "error"

        def add_done_callback(self, function):
            function(self)

        def result(self, timeout):
            raise error

    client = SimpleNamespace(submit=lambda *_, **__: Future(), cancel=lambda _: None)
    with pytest.raises(told, match=message):
        list(cluster.train_batches(client, len, "numpy", [SMALL.runs[:1]]))


def test_workers_with_other_versions_are_refused():
    wanted = {**provenance.versions("numpy"), "numpy": "0.1"}
    with pytest.raises(InputError, match=r"a worker of the cluster has numpy .*, here it is 0\.1"):
        cluster._work(len, (), "numpy", wanted)


@pytest.mark.parametrize("package", ["numba", "llvmlite"])
def test_workers_that_would_compile_otherwise_are_refused(package):
    wanted = {**provenance.versions("compiled"), package: "0.1"}
    with pytest.raises(InputError, match=rf"has {package} .*, here it is 0\.1, .*; install the"):
        cluster._work(len, (), "compiled", wanted)
    assert cluster._work(len, (), "numpy", provenance.versions("numpy")) == 0


def test_workers_that_cannot_compile_are_refused(monkeypatch):
    monkeypatch.setenv("MLPSPEC_COMPILED", "0")
    with pytest.raises(InputError, match="cannot use the compiled engine: MLPSPEC_COMPILED is 0; "):
        cluster._work(len, (), "compiled", provenance.versions("compiled"))


@pytest.mark.slow
def test_networks_travel_to_a_cluster(cluster_here, tmp_path):
    """Starts and targets that are ends of runs, whose directory the workers do not see."""
    cluster_here.add_worker()
    first = mlpspec.run_study(SMALL.replace(n_samples=(3,), seed=(0,)), tmp_path / "first", 1)
    end = first.end(first.table["key"][0])
    study = SMALL.replace(n_samples=(3,), start=end, target=end)
    here = mlpspec.run_study(study, tmp_path / "here", n_jobs=1)
    there = mlpspec.run_study(study, tmp_path / "there", dask=cluster_here.address)
    assert set(there.status.values()) == {"ok"}
    for key in here.runs:
        assert here.params(key).flatten().tobytes() == there.params(key).flatten().tobytes()
