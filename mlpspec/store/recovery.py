"""Saving what is intact in a damaged store.

SQLite reads nothing behind a damaged page. Here the pages are read one by one instead: each leaf
page of a table holds whole rows, whatever became of the pages that lead to it, and the checksum of
a row tells whether it is intact. The file format is described in https://sqlite.org/fileformat2.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from mlpspec.errors import InputError
from mlpspec.store import database
from mlpspec.store.database import CONTENT, FILE_NAME, JOURNAL, LOG, checksum
from mlpspec.store.packed import intact_part, packed
from mlpspec.store.store import Store
from mlpspec.study.ends import starts_of
from mlpspec.study.run import Run
from mlpspec.study.study import Study

Row = list[Any]

TYPES: dict[str, tuple[Any, ...]] = {
    "identity": (str,),
    "sessions": (int, str, str | None, str, str),
    "datasets": (str, bytes, bytes),
    "runs": (str, str, str, int, str | None, bytes | None, str, str | None),
    "curves": (str, bytes),
}
"""What the columns of `CONTENT` hold; tells tables apart where rows have no checksum."""


@dataclass(frozen=True)
class Recovered:
    """What `recover` found.

    Attributes
    ----------
    runs : int
        Runs that are intact and were saved.
    lost : int
        Runs that were stored and are not saved, as far as the store's intact sessions and keys,
        ``provenance.json`` and ``runs.csv`` tell.
    unknown : bool
        Nothing tells which runs there were (sessions are damaged, the file is cut, or its log
        cannot be read), so that more may be lost.
    unchecked : int
        Saved runs without a checksum (schema version 1); they were saved as they are.

    Examples
    --------
    >>> Recovered(runs=478, lost=2, unknown=False, unchecked=0).lost
    2
    """

    runs: int
    lost: int
    unknown: bool
    unchecked: int


def recover(directory: str | os.PathLike[str], out: str | os.PathLike[str]) -> Recovered:
    """Copy every intact run of a results directory, however damaged, into a new one.

    Raises
    ------
    InputError
        There is no store, the new directory is there already, or nothing in the old one tells
        which study it belongs to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Store.create(f"{folder}/old", Study("mine", {"seed": (0, 1)})).close()
    ...     recover(f"{folder}/old", f"{folder}/new")
    Recovered(runs=0, lost=0, unknown=True, unchecked=0)
    """
    path = Path(directory) / FILE_NAME
    log = path.with_name(LOG).read_bytes() if path.with_name(LOG).is_file() else b""
    if not packed(path) and (not path.is_file() or not (path.stat().st_size or log)):
        raise InputError(f"{path} is not there or empty; there is nothing to recover")
    database.check_new(out)
    content = _content(path)
    versions = [_logged(content, log), content] if log else [content]
    found, checked = _intact(versions)
    every = b" ".join([*versions, log])
    named = {match[1].decode() for match in re.finditer(rb"(?=([0-9a-f]{16}))", every)}
    cut = any(len(v) < int.from_bytes(v[28:32], "big") * _page_size(v) for v in versions)
    # How every log begins, and what it consists of: a header, then whole frames.
    whole = log[:3] == b"\x37\x7f\x06" and (len(log) - 32) % (24 + _page_size(content)) == 0
    unreadable = bool(log) and not whole
    unknown = cut or not found["sessions"]
    try:
        beside = path.with_name("provenance.json")
        provenance = json.loads(beside.read_text()) if beside.is_file() else {}
        for session in provenance.get("sessions", []):
            found["sessions"].setdefault(session["session"], _session_row(session))
        studies = [Study.from_json(session[3]) for session in found["sessions"].values()]
        identities = [json.loads(text) for (text,) in found.pop("identity").values()]
        identities += [study.identity for study in studies]
        identities += [provenance] if provenance else []
        if not identities:
            raise InputError(f"nothing intact in {path} tells which study it belongs to")
        identity = {name: identities[0][name] for name in ("study", "axes", "settings")}
    except InputError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path} holds what mlpspec did not write ({error})") from None
    complete = {key: row for key, row in found["runs"].items() if _is_complete(row, found)}
    curves = {key: row for key, row in found["curves"].items() if key in complete}
    for number in {row[3] for row in complete.values()} - found["sessions"].keys():
        found["sessions"][number] = _lost_session(number, identity, complete)
    with database.made_whole(out) as draft:
        database.create(draft, identity)
        with Store.open(draft, write=True) as store:
            for table, rows in {**found, "runs": complete, "curves": curves}.items():
                store.restore(table, rows.values())
    asked = {run.key for study in studies for run in study.runs}
    listed = _listed(path)
    counted = sum(session["runs"] for session in provenance.get("sessions", []))
    lost = max(len((named & asked | listed) - complete.keys()), counted - len(complete))
    unknown = unreadable or (unknown and not listed and not counted)
    return Recovered(len(complete), lost, unknown, len(complete.keys() - checked))


def _session_row(session: dict[str, Any]) -> Row:
    """Return the row of a session as ``provenance.json`` tells of it."""
    apart = ("session", "started", "ended", "study", "runs")
    rest = json.dumps({name: value for name, value in session.items() if name not in apart})
    study = json.dumps(session["study"])
    return [session["session"], session["started"], session["ended"], study, rest]


def _lost_session(number: int, identity: dict[str, Any], runs: dict[Any, Row]) -> Row:
    """Return a row for a session of which nothing but its runs is left: what ran them is lost."""
    described = [Run(**json.loads(row[1])) for row in runs.values()]
    axes = {
        name: list(dict.fromkeys(getattr(run, name) for run in described))
        for name in identity["axes"]
    }
    extensions = {d.name: d for run in described for d in run.definitions}
    starts = {}
    if "start" in axes:
        starts = starts_of((run.n_samples, run.seed, run.start) for run in described)
        if starts:
            del axes["start"]  # it is no axis
    study = Study(identity["study"], axes, identity["settings"], "", extensions, starts=starts)
    lost = ("mlpspec", "numpy", "python", "jobs", "processor")
    return [number, "lost", None, study.to_json(), json.dumps(dict.fromkeys(lost, "lost"))]


def _listed(path: Path) -> set[str]:
    """Return the keys in ``runs.csv`` beside a store."""
    table = path.with_name("runs.csv")
    try:
        with table.open(newline="", encoding="utf-8") as file:
            return {row["key"] for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, csv.Error):
        return set()


def _content(path: Path) -> bytes:
    """Return the bytes of a store, rolled back to its last transaction where SQLite still can."""
    if form := packed(path):
        return intact_part(form)
    if not path.with_name(JOURNAL).exists():
        return path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        copy, damage = database.rolled_back(path, folder)
        return (copy if damage == "ok" else path).read_bytes()  # the journal may be another's


def _logged(content: bytes, log: bytes) -> bytes:
    """Return a store with the pages that its write-ahead log has committed."""
    size = _page_size(content)
    frames = [log[at : at + 24 + size] for at in range(32, len(log) - 23 - size, 24 + size)]
    frames = [frame for frame in frames if frame[8:16] == log[16:24]]  # not of an older log
    commits = [number for number, frame in enumerate(frames, 1) if any(frame[4:8])]
    pages = bytearray(content)
    most = len(content) + len(log)
    for frame in frames[: max(commits, default=0)]:
        at = (int.from_bytes(frame[:4], "big") - 1) * size
        if 0 <= at <= most:
            pages.extend(bytes(max(0, at - len(pages))))
            pages[at : at + size] = frame[24:]
    return bytes(pages)


def _intact(versions: Iterable[bytes]) -> tuple[dict[str, dict[Any, Row]], set[str]]:
    """Return the rows of each table by their first column, and that of runs with a checksum.

    Of rows that several versions of a store hold, those of the first are returned.
    """
    best: dict[str, dict[Any, tuple[tuple[bool, bool], Row]]] = {table: {} for table in CONTENT}
    for rowid, values in chain.from_iterable(map(_rows, versions)):
        for table, columns in CONTENT.items():
            row = values[: len(columns)]
            if table == "sessions" and row and row[0] is None:
                row[0] = rowid  # where SQLite keeps a whole number that is the key
            checked = len(values) == len(columns) + 1 and values[-1] == checksum(row)
            if checked or (len(values) == len(columns) and _plausible(table, row)):
                # Pages that are no longer used may hold a failure that was mended since.
                rank = checked, not (table == "runs" and row[2] == "failed")
                if row[0] not in best[table] or rank > best[table][row[0]][0]:
                    best[table][row[0]] = rank, row
    found = {table: {key: row for key, (_, row) in rows.items()} for table, rows in best.items()}
    return found, {key for key, ((checked, _), _) in best["runs"].items() if checked}


def _is_complete(run: Row, found: dict[str, dict[Any, Row]]) -> bool:
    """Return whether the data and, if one was recorded, the curve of a run are there as well."""
    key, description, status, _, dataset, *_ = run
    if status == "failed":
        return True
    described = json.loads(description)
    recorded = described.get("record_every", 0) > 0 or described.get("record") == "log"
    return dataset in found["datasets"] and (not recorded or key in found["curves"])


def _plausible(table: str, row: Row) -> bool:
    """Return whether a row without checksum may be one of ``table``."""
    if not all(isinstance(value, t) for value, t in zip(row, TYPES[table], strict=True)):
        return False
    texts = {"identity": row[:1], "sessions": row[3:5], "runs": [*row[1:2], *row[6:7]]}
    try:
        return all(isinstance(json.loads(text), dict) for text in texts.get(table, []))
    except ValueError:
        return False


def _rows(content: bytes) -> Iterator[tuple[int, Row]]:
    """Iterate over row number and values of all rows on leaf pages of tables."""
    size = _page_size(content)
    for start in range(0, len(content), size):
        head = start + (100 if start == 0 else 0)
        if content[head : head + 1] != b"\r":  # 13, a leaf page of a table
            continue
        count = int.from_bytes(content[head + 3 : head + 5], "big")
        for pointer in range(head + 8, min(head + 8 + 2 * count, start + size), 2):
            offset = int.from_bytes(content[pointer : pointer + 2], "big")
            with contextlib.suppress(IndexError, ValueError, struct.error, OverflowError):
                yield _row(content, start + offset, size)


def _page_size(content: bytes) -> int:
    size = int.from_bytes(content[16:18], "big")
    size = 65536 if size == 1 else size
    # SQLite's own choice, if the header is damaged
    return size if size in {2**power for power in range(9, 17)} else 4096


def _row(content: bytes, offset: int, size: int) -> tuple[int, Row]:
    """Return row number and values of the row that begins at ``offset``."""
    length, offset = _varint(content, offset)
    rowid, offset = _varint(content, offset)
    if length > len(content):
        raise ValueError("longer than the file")
    least = (size - 12) * 32 // 255 - 23
    local = length
    if length > size - 35:
        local = least + (length - least) % (size - 4)
        local = local if local <= size - 35 else least
    payload = bytearray(content[offset : offset + local])
    following = offset + local
    while len(payload) < length:  # the rest is on pages of its own, each naming the next
        page = int.from_bytes(content[following : following + 4], "big")
        if page == 0 or page * size > len(content):
            raise ValueError("a page that is not there")
        following = (page - 1) * size
        payload += content[following + 4 : following + 4 + min(size - 4, length - len(payload))]
    return rowid, _values(bytes(payload))


def _values(payload: bytes) -> Row:
    end, offset = _varint(payload, 0)
    codes = []  # SQLite's serial types
    while offset < end:
        code, offset = _varint(payload, offset)
        codes.append(code)
    row: Row = []
    for code in codes:
        length = (code - 12) // 2 if code >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[code]
        raw = payload[offset : offset + length]
        if len(raw) < length:
            raise ValueError("cut short")
        offset += length
        if code >= 12:
            row.append(raw.decode() if code % 2 else raw)
        elif code == 7:
            row.append(struct.unpack(">d", raw)[0])
        else:
            row.append({0: None, 8: 0, 9: 1}.get(code, int.from_bytes(raw, "big", signed=True)))
    return row


def _varint(content: bytes, offset: int) -> tuple[int, int]:
    """Return the number of one to nine bytes at ``offset``, and where it ends."""
    number = 0
    for length in range(1, 9):
        byte = content[offset + length - 1]
        number = number << 7 | byte & 127
        if byte < 128:
            return number, offset + length
    return number << 8 | content[offset + 8], offset + 9
