"""What a session ran on and with: everything outside a run's key that could change its bits."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from mlpspec import __version__
from mlpspec.training import engine as engines


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
    """Return engine, versions, revision, machine and command line.

    Neither user nor host is named, but for what the command line itself says.
    """
    return {
        "command": shlex.join(command) or None,
        "python": platform.python_version(),
        "engine": engine,
        **versions(engine),
        "joblib": version("joblib"),
        "blas": [
            {key: info[key] for key in ("internal_api", "version", "architecture") if key in info}
            for info in threadpool_info()
            if info["user_api"] == "blas"
        ],
        **_revision(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cpus": os.cpu_count(),
        "byte_order": sys.byteorder,
    }


def _revision() -> dict[str, Any]:
    """Return the git revision of the package's checkout and whether it has been edited."""
    here = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not a checkout of something else
        edited = git("status", "--porcelain", "--untracked-files=no", "--", str(here))
        return {"git_revision": git("rev-parse", "HEAD"), "git_dirty": bool(edited)}
    except (OSError, subprocess.CalledProcessError):
        return {"git_revision": None, "git_dirty": None}


def processor() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
