"""What results offer to those who look at them in Python: choosing runs, frames, figures, HTML."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlpspec.errors import InputError, needed, unknown
from mlpspec.network.neurons import neuron_of
from mlpspec.shown import counted, html_of
from mlpspec.store.store import Record
from mlpspec.study.ends import hold, size_and_seed
from mlpspec.study.run import SETTINGS, Run
from mlpspec.study.subsets import canonical_losses

if TYPE_CHECKING:
    import pandas
    import xarray

    from mlpspec.store.tables import Table

LOOKED_AT = ("reconstruction_error", "usage_ratio", "expelled_fraction", "fit_fvu")
"""Measurements that a notebook shows of results."""

MOST_ROWS = 24
"""Rows of the table that a notebook shows of results."""


class Views:
    """What `mlpspec.Results` offers beyond reading; see there.

    Examples
    --------
    >>> import tempfile
    >>> from mlpspec import run_study, studies
    >>> study = studies.paper().replace(n_samples=(3, 5), seed=(0,), steps=10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = run_study(study, folder, n_jobs=1)
    ...     end = results.end("1ba35afa4f592afa")
    >>> study.replace(start=end, n_hidden=3).settings["start"].partition("@")[0]
    'run:1ba35afa4f592afa'
    >>> chosen = results.select(losses="coverage", n_samples=[3, 5])
    >>> chosen.table["n_samples"].tolist(), set(chosen.table["losses"].tolist())
    ([3, 5], {'coverage'})
    >>> results.select(n_samples=4)
    Traceback (most recent call last):
    mlpspec.errors.InputError: no run has n_samples=4; there are 3, 5
    """

    directory: Path
    identity: dict[str, Any]
    _records: list[Record]
    part: bool = False
    """Whether these are some of the runs of the directory, as `select` leaves them."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """See `mlpspec.Results`."""

    @property
    @abstractmethod
    def runs(self) -> dict[str, Run]:
        """See `mlpspec.Results`."""

    @property
    @abstractmethod
    def status(self) -> dict[str, str]:
        """See `mlpspec.Results`."""

    @abstractmethod
    def records(self, keys: Iterable[str]) -> Iterator[Record]:
        """See `mlpspec.Results`."""

    @abstractmethod
    def summary(self) -> Table:
        """See `mlpspec.Results`."""

    def select(self, **chosen: Any) -> Self:
        """Return the results of some runs: tables, figures and stacks then know of no others.

        Parameters
        ----------
        **chosen
            Columns of the table that describe runs, such as ``losses`` (labels), ``n_samples``,
            ``seed``, ``variant``, ``status`` or any setting, each with the value or the list of
            values that runs may have.

        Raises
        ------
        ValueError
            A column that does not exist, or a value that no run has.
        """
        table, kept = self.table, np.ones(len(self._records), dtype=bool)
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
        part = copy(self)
        for name in ("runs", "variants", "table"):
            vars(part).pop(name, None)  # of all runs
        part._records = [record for record, keep in zip(self._records, kept, strict=True) if keep]
        part.part = True
        return part

    def end(self, key: str) -> str:
        """Return the description of a run's end, which the settings ``start`` and ``target`` take.

        The parameters are held in memory, and kept by each results directory that needs them.

        Raises
        ------
        ValueError
            There is no such run, it failed, or it diverged.
        """
        return next(self._ends([key]))

    def ends(self) -> dict[str, str]:
        """Return the ends of these runs by N and seed, as `Study.replace` takes them for ``start``.

        Whatever its losses, a run then starts from the end of the run with its N and seed.

        Raises
        ------
        ValueError
            Several runs with one N and seed, or a run that failed or diverged.
        """
        keys: dict[str, str] = {}
        for key, run in self.runs.items():
            place = size_and_seed(run.n_samples, run.seed)
            if keys.setdefault(place, key) != key:
                raise InputError(
                    f"{self.directory} has several runs with {place}; "
                    'choose one for each N and seed, such as results.select(losses="baseline")'
                )
        return dict(zip(keys, self._ends(keys.values()), strict=True))

    def _ends(self, keys: Iterable[str]) -> Iterator[str]:
        for record in self.records(keys):
            run = record.run
            if record.status == "diverged":
                raise InputError(
                    f"run {run.key} of {self.directory} diverged, so that its last parameters are "
                    "no end of a training; give another run"
                )
            assert record.params is not None
            yield hold(neuron_of(run.neuron).unflatten(record.params[None], run.n_inputs), run.key)

    def whole(self, what: str) -> None:
        """Raise `InputError` if these are not all runs: files of a directory are of all."""
        if self.part:
            raise InputError(
                f"{what} of {self.directory} are of all its runs, and these are some of them; "
                "write the table of these elsewhere, as to_pandas().to_csv(...) does"
            )

    def to_pandas(self) -> pandas.DataFrame:
        """Return the table as a data frame (needs the extra ``pandas``)."""
        return _needed("pandas").DataFrame(self.table)

    def to_xarray(self) -> xarray.Dataset:
        """Return the measurements over the settings that vary (needs the extra ``xarray``).

        Dimensions are ``losses``, ``n_samples``, ``seed`` and what else varies, or ``variant`` in
        place of the settings that follow from it; NaN stands where there is no such run.
        """
        _needed("xarray")
        frame, further = self.to_pandas(), ["losses", "n_samples", "seed"]
        names = [name for name in frame if name not in (*SETTINGS, "key", "variant", "status")]
        if "variant" in frame:
            further = ["variant", *further]
        else:
            varies = (name for name in SETTINGS if name in frame and frame[name].nunique() > 1)
            further += [name for name in varies if name not in (*further, "n_hidden")]
        if frame.duplicated(further).any():
            further.append("n_hidden")
        whole: xarray.Dataset = frame.set_index(further)[names].to_xarray()
        return whole

    def plot(self, name: str, ax: Any = None) -> Any:
        """Return a figure of the report, drawn of these runs in Matplotlib's present style.

        Parameters
        ----------
        name : str
            As the report has it: ``"outcomes"``, ``"hull"``, ``"reconstruction"``, ...
        ax : matplotlib.axes.Axes, optional
            Where to draw a figure that is a single panel, as ``hull`` is of one subset of losses
            (`select`); its figure is returned.

        Returns
        -------
        figure : matplotlib.figure.Figure

        Raises
        ------
        ValueError
            There is no such figure, it cannot be drawn of these runs, or it has more than one
            panel and ``ax`` is given.
        """
        # The one step up, to the room that draws: so that results can be asked for it.
        return import_module("mlpspec.report.plotting").plot(self, name, ax)

    def verdicts(self) -> Any:
        """Return the verdicts on the claims, as the report has them: a list, a table in notebooks.

        Those of a study that is not the grid are none.
        """
        return import_module("mlpspec.report.plotting").verdicts(self)

    def _repr_html_(self) -> str:
        where = f"{'some of ' if self.part else ''}{self.directory}"
        lines = [f"{len(self.runs)} runs in {where}: {counted(self.status.values())}"]
        found = self.summary()
        names = [name for name in found if name in ("variant", *SETTINGS)]
        rows: dict[tuple[Any, ...], list[Any]] = {}
        shown = [name for name in LOOKED_AT if name in found.get("measurement", ())]
        for i, name in enumerate(found.get("measurement", ())):
            if name in shown:
                place = tuple(found[each][i].item() for each in names)
                rows.setdefault(place, []).append(found["median"][i].item())
        lines.append("Medians of the runs that ended ok:" if rows else "Nothing was measured.")
        table = [[*place, *values] for place, values in rows.items()]
        more = len(table) - MOST_ROWS
        cut = [[f"... {more} more"] + [""] * (len(names) + len(shown) - 1)] if more > 0 else []
        title = f"Results of {self.identity['study']}"
        return html_of(title, lines, [*names, *shown] if rows else (), table[:MOST_ROWS] + cut)


def _in_table(name: str, value: Any) -> Any:
    """Return a value of a column as the table has it."""
    if name == "losses":
        return "+".join(canonical_losses(value)) or "baseline"
    if name not in SETTINGS:
        return str(value)
    setting = SETTINGS[name]
    return setting.meaning(setting.cast(value))


def _needed(name: str) -> Any:
    return needed(name, name, f"this needs {name}, which is not installed")
