"""Tables: columns of equal length, as CSV files, and those that are made of runs."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.errors import InputError, unknown
from mlpspec.metrics.statistics import defined, hill_index, summaries
from mlpspec.store.packed import content
from mlpspec.store.store import Record
from mlpspec.study.run import SETTINGS, Run
from mlpspec.study.subsets import canonical_losses, subset_order

Table = dict[str, NDArray[Any]]


def measurement_names(table: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the columns of a table of runs that are measurements.

    Examples
    --------
    >>> measurement_names({"key": [], "seed": [], "status": [], "hull_distance": []})
    ['hull_distance']
    """
    return [name for name in table if name not in (*SETTINGS, "key", "variant", "status")]


FOLLOWS = {"n_hidden": ("n_samples",), "start": ("n_samples", "seed")}
"""Settings that may follow from others: then they tell no runs apart."""


def varying(table: Table, given: Sequence[str] = ()) -> list[str]:
    """Return the settings that tell the runs of a table apart, beside losses, N and seed.

    Not those that follow from columns that are ``given``, as all follow from the variant; nor K
    where there is one for each N, or a start where there is one for each N and seed.

    Examples
    --------
    >>> table = {"n_samples": [5, 5], "seed": [0, 1], "start": ["run:@a", "run:@b"], "l1": [0, 1]}
    >>> varying({name: np.array(column) for name, column in table.items()})
    ['l1']
    """

    def count(*names: str) -> int:
        return len({*zip(*(table[name].tolist() for name in names), strict=True)})

    told = [name for name in SETTINGS if name in table and SETTINGS[name].changes_result]
    apart = []
    for name in told:
        of = (*FOLLOWS.get(name, ()), *given)
        if name not in ("losses", "n_samples", "seed") and count(name, *of) > max(count(*of), 1):
            apart.append(name)
    return apart


def write_csv(path: Path, table: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Write columns of equal length; floats read back exactly, NaN is an empty field.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "table.csv"
    ...     write_csv(path, {"n": [3, 5], "error": [0.1, np.nan]})
    ...     path.read_text().split()
    ['n,error', '3,0.1', '5,']
    """
    columns = [np.asarray(values).tolist() for values in table.values()]
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in [table, *zip(*columns, strict=True)]:
            writer.writerow(map(_escaped, row))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        value = value.replace("\r", "\n")  # the writer would not quote it
        return f"'{value}" if value.startswith(_RISKY) else value
    return "" if value != value else value


_RISKY = ("=", "+", "-", "@", "\t", "'")


def read_csv(path: Path) -> Table:
    """Return what `write_csv` wrote: columns of whole numbers, of floats (exact) or of text.

    The file may be packed (`mlpspec.store.packed`).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "table.csv"
    ...     write_csv(path, {"n": [3, 5], "error": [0.1, 0.2]})
    ...     {name: column.tolist() for name, column in read_csv(path).items()}
    {'n': [3, 5], 'error': [0.1, 0.2]}
    """
    names, *rows = csv.reader(io.StringIO(content(path).decode(), newline=""))
    table: Table = {}
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        for convert in (int, float, _unescaped):
            with suppress(ValueError):
                table[_unescaped(name)] = np.array([convert(x or "nan") for x in column])
                break
    return table


def _unescaped(field: str) -> str:
    return field.removeprefix("'")


@contextmanager
def replacing(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """Open a new file that takes the place of ``path`` once it is complete, never before.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "note.txt"
    ...     with replacing(path) as file:
    ...         _ = file.write("all of it")
    ...         path.exists()
    ...     path.read_text()
    False
    'all of it'
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") if binary else draft.open("w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(draft, path)
    except OSError as error:
        if error.filename == str(draft):  # whose name tells nobody anything
            error.filename = str(path)
        raise
    finally:
        draft.unlink(missing_ok=True)


def canonical_order(run: Run) -> tuple[Any, ...]:
    """Return what puts runs in canonical order: size, subset, settings, seed.

    Examples
    --------
    >>> canonical_order(Run(n_samples=5, seed=3)) < canonical_order(Run(seed=0))
    True
    """
    settings = run.to_dict()
    settings.pop("definitions", None)
    first = settings.pop("n_samples"), subset_order(settings.pop("losses"))
    seed = settings.pop("seed")
    return (*first, *(-1 if value is None else value for value in settings.values()), seed)


def runs_table(
    records: Sequence[Record], variants: Mapping[str, str], axes: Sequence[str]
) -> Table:
    """Return `Results.table`, which is ``runs.csv``.

    Parameters
    ----------
    records : sequence of Record
    variants : mapping of str to str
        The names of the runs' variants, by key.
    axes : sequence of str
        Settings that have a column whatever they are.

    Examples
    --------
    >>> table = runs_table([Record(Run(seed=3), "ok", measurements={"fit_mse": 0.5})], {}, ())
    >>> table["seed"].tolist(), table["fit_mse"].tolist(), "variant" in table
    ([3], [0.5], False)
    """
    table: dict[str, list[Any]] = {"key": [record.run.key for record in records]}
    if variants:
        table["variant"] = [variants.get(key, "") for key in table["key"]]
    for name in SETTINGS:
        meaning = SETTINGS[name].meaning
        values = [meaning(getattr(record.run, name)) for record in records]
        wanted = not SETTINGS[name].later or name in axes
        if wanted or {*values} != {SETTINGS[name].default}:
            table[name] = values
    table["losses"] = [record.run.label for record in records]
    table["n_hidden"] = [record.run.hidden_units for record in records]
    if "separation_temperature" in table:
        table["separation_temperature"] = [r.run.tau_of_separation for r in records]
    table["status"] = [record.status for record in records]
    columns = {name: np.array(values) for name, values in table.items()}
    for name in dict.fromkeys(name for r in records for name in r.measurements):
        columns[name] = defined([r.measurements.get(name, np.nan) for r in records])
    if "steps_taken" in columns and not np.isnan(columns["steps_taken"]).any():
        columns["steps_taken"] = columns["steps_taken"].astype(int)
    return columns


def summary_table(table: Table, runs: Collection[Run]) -> Table:
    """Return `Results.summary`, which is ``summary.csv``, of the table of runs.

    Examples
    --------
    >>> run = Run(seed=3)
    >>> table = runs_table([Record(run, "ok", measurements={"fit_mse": 0.5})], {}, ())
    >>> summary_table(table, [run])["median"].tolist()
    [0.5]
    """
    groups = [name for name in ("variant",) if name in table]
    groups += [name for name in SETTINGS if name in {"losses", "n_samples", *varying(table)}]
    members: dict[tuple[Any, ...], list[int]] = {}
    for row, label in enumerate(zip(*(table[name].tolist() for name in groups), strict=True)):
        members.setdefault(label, []).append(row)
    names = measurement_names(table)
    measured = np.array([table[name] for name in names], dtype=float)
    measured = measured.reshape(len(names), len(table["key"]))  # also where nothing was measured
    lines: list[dict[str, Any]] = []
    for label, rows in members.items():
        good = [row for row in rows if table["status"][row] == "ok"]
        lines += [
            dict(zip(groups, label, strict=True))
            | {"measurement": name, "runs": len(rows)}
            | statistics
            for name, statistics in zip(names, _statistics(measured[:, good]), strict=True)
        ]
    columns = lines[0] if lines else {}
    return {name: np.array([line[name] for line in lines]) for name in columns}


def _statistics(measured: Array) -> Iterator[dict[str, Any]]:
    """Iterate over the statistics of the rows of (M, n), which are of their defined values."""
    found = summaries(measured)
    for values, *numbers in zip(measured, *found.values(), strict=True):
        heavy = "yes" if hill_index(values) < 2.0 else "no"
        yield {**dict(zip(found, numbers, strict=True)), "heavy_tail": heavy}


def medians(summary: Table, names: Sequence[str]) -> Table:
    """Return medians of a summary side by side, a row for each of its groups of runs.

    Examples
    --------
    >>> run = Run(seed=3)
    >>> table = runs_table([Record(run, "ok", measurements={"fit_mse": 0.5})], {}, ())
    >>> found = medians(summary_table(table, [run]), ["fit_mse"])
    >>> {name: values.tolist() for name, values in found.items()}
    {'losses': ['baseline'], 'n_samples': [10], 'fit_mse': [0.5]}
    """
    measured = [name for name in names if name in summary.get("measurement", ())]
    if not measured:
        return {}
    rows = {name: summary["measurement"] == name for name in measured}
    groups = [name for name in summary if name in ("variant", *SETTINGS)]
    found = {name: summary[name][rows[measured[0]]] for name in groups}
    return found | {name: summary["median"][rows[name]] for name in measured}


def chosen_runs(table: Table, chosen: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return which runs of a table `Results.select` chooses.

    Raises
    ------
    InputError
        A column that does not exist, or a value that no run has.

    Examples
    --------
    >>> chosen_runs({"status": np.array(["ok", "failed"])}, {"status": "ok"})
    array([ True, False])
    """
    kept = np.ones(len(next(iter(table.values()))), dtype=bool)
    for name, value in chosen.items():
        if name not in (*SETTINGS, "key", "status", *({"variant"} & table.keys())):
            raise unknown("column to choose by", name, (*SETTINGS, "key", "status", "variant"))
        several = isinstance(value, Iterable) and not isinstance(value, str)
        values = [_in_table(name, one) for one in (value if several else [value])]
        unset = [SETTINGS[name].default if name in SETTINGS else None] * len(kept)
        there = table[name].tolist() if name in table else unset
        for one in values:
            if one not in there:
                known = ", ".join(map(str, list(dict.fromkeys(there))[:20]))
                raise InputError(f"no run has {name}={one}; there are {known}")
        kept &= [one in values for one in there]
    return kept


def _in_table(name: str, value: Any) -> Any:
    """Return a value of a column as the table has it."""
    if name == "losses":
        return "+".join(canonical_losses(value)) or "baseline"
    if name not in SETTINGS:
        return str(value)
    setting = SETTINGS[name]
    return setting.meaning(setting.cast(value))
