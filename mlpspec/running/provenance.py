"""What a session ran on and with: everything outside a run's key that could change its bits."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from mlpspec import __version__
from mlpspec.training import engine as engines

PACKAGE = Path(__file__).resolve().parents[1]

MOST_DIFF = 2**16
"""Characters of a difference that a session keeps; a part of a longer one would mend nothing."""


def now() -> str:
    """Return the time, to the second, in ISO 8601 and UTC.

    Examples
    --------
    >>> len(now()), now()[-6:]
    (25, '+00:00')
    """
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(engine: str) -> dict[str, str | None]:
    """Return the versions on which the bits of a result depend that ``engine`` computes.

    Examples
    --------
    >>> {name: found is None for name, found in versions("numpy").items()}
    {'mlpspec': False, 'numpy': False, 'scipy': False, 'numba': True, 'llvmlite': True}
    """
    return {
        "mlpspec": __version__,
        **{name: version(name) for name in ("numpy", "scipy")},
        **engines.versions(engine),
    }


def collect(command: Sequence[str], engine: str) -> dict[str, Any]:
    """Return engine, versions, revision, uncommitted changes, machine and command line.

    Neither user nor host is named, but for what the command line, or what was edited in the
    package, says itself; ``MLPSPEC_DIFF=0`` leaves the latter out.

    Examples
    --------
    >>> about = collect(["mlpspec", "run"], "numpy")
    >>> about["command"], f"numpy=={about['numpy']}" in about["packages"].split()
    ('mlpspec run', True)
    """
    return {
        "command": shlex.join(command) or None,
        "python": platform.python_version(),
        "engine": engine,
        **versions(engine),
        "joblib": version("joblib"),
        "packages": packages(),
        "blas": [
            {key: info[key] for key in ("internal_api", "version", "architecture") if key in info}
            for info in threadpool_info()
            if info["user_api"] == "blas"
        ],
        **_revision(PACKAGE),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cpus": os.cpu_count(),
        "byte_order": sys.byteorder,
    }


@cache
def packages() -> str:
    """Return what is installed, as ``name==version`` with blanks between; nothing else of it.

    Where a package came from is left out: it may be a path, or an address with a password.

    Examples
    --------
    >>> all("==" in package for package in packages().split())
    True
    """
    found: dict[str, str] = {}
    for distribution in distributions():
        try:
            about = distribution.metadata  # read at each access
            name, release = about["Name"], about["Version"]
        except Exception:  # of what others installed half
            continue
        if re.fullmatch(r"[\w.-]+==\d[\w.+!-]*", f"{name}=={release}", re.ASCII):
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), release)  # the first is imported
    return " ".join(f"{name}=={found[name]}" for name in sorted(found))


def _revision(here: Path) -> dict[str, Any]:
    """Return the git revision of a checkout and how its folder ``here`` differs from it."""

    def git(*arguments: str, statuses: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True)
        if done.returncode not in statuses:
            raise OSError(done.stderr)
        return done.stdout.decode(errors="surrogateescape")

    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not a checkout of something else
        diff = git("diff", *plain, "HEAD", "--", ".")  # and nothing else of the checkout
        root = git("rev-parse", "--show-toplevel").rstrip("\n")
        new = git("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", "*.py")
        for name in filter(None, new.split("\0")):
            added = (*plain, "--no-index", "--", "/dev/null", name)
            diff += git("-C", root, "diff", *added, statuses=(0, 1))
        return {"git_revision": git("rev-parse", "HEAD").strip(), **_difference(diff)}
    except OSError:
        return {"git_revision": None, "git_dirty": None}


def _difference(diff: str) -> dict[str, Any]:
    """Return what a session keeps of a difference: text, or why there is none, and digest."""
    if not diff:
        return {"git_dirty": False}
    reason = None
    if os.environ.get("MLPSPEC_DIFF") == "0":
        reason = "MLPSPEC_DIFF is 0"
    elif len(diff) > MOST_DIFF:
        reason = f"it has {len(diff)} characters, more than {MOST_DIFF}"
    elif re.search(r"://[^/\s@]+@", diff):
        reason = "it has an address with a user's name or password"
    digest = sha256(diff.encode(errors="surrogateescape")).hexdigest()
    kept = {"git_diff_left_out": reason} if reason else {"git_diff": diff}
    return {"git_dirty": True, **kept, "git_diff_digest": digest}


def processor() -> str:
    """Return the processor's name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
