"""What rebuilds the environment of a session: a constraints file for pip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_OLD = ("numpy", "scipy", "numba", "llvmlite", "joblib")
"""The packages of which sessions tell that have no list of all."""


def constraints(session: Mapping[str, Any]) -> str:
    """Return the versions of a session, one of `Results.sessions`, as pip's constraints.

    Python, revision and changes that were not committed are comments. Lines that are no constraint
    of a name to a version are left out, whatever a store holds.

    Examples
    --------
    >>> session = {"session": 1, "started": "2026-01-01", "python": "3.12.1", "mlpspec": "0.1.0"}
    >>> print(constraints({**session, "packages": "mlpspec==0.1.0 numpy==2.1.0"}), end="")
    # Session 1, begun 2026-01-01: pip install -c THIS_FILE mlpspec
    # Python 3.12.1
    mlpspec==0.1.0
    numpy==2.1.0
    """
    revision, packages = session.get("git_revision"), session.get("packages")
    listed = str(packages or "").split()
    if packages is None:
        listed = [f"{name}=={session.get(name)}" for name in ("mlpspec", *_OLD)]
    what = "-e '.[fast]', in a clone" if revision else "mlpspec"
    number, started = session.get("session"), session.get("started")
    notes = [
        f"Session {number}, begun {started}: pip install -c THIS_FILE {what}",
        f"Python {session.get('python')}",
    ]
    if revision:
        notes.append(f"mlpspec {session.get('mlpspec')} of a clone: git checkout {revision}")
        listed = [entry for entry in listed if not entry.startswith("mlpspec==")]
    if session.get("git_dirty"):
        left_out = session.get("git_diff_left_out", "an older version ran this session")
        where = f"it is git_diff of session {number} in provenance.json, for git apply"
        kept = where if "git_diff" in session else f"it was not kept: {left_out}"
        notes.append(f"with a difference that was not committed; {kept}")
    if packages is None:
        notes.append("an older version ran this session; no other versions are known")
    pinned = [x for x in listed if re.fullmatch(r"[\w.-]+==\d[\w.+!-]*", x, re.ASCII)]
    return "".join([f"# {' '.join(note.split())}\n" for note in notes] + [f"{x}\n" for x in pinned])
