"""From a results directory to nulls, comparisons and verdicts: what a report rests on.

A sweep, a placebo arm or a confirmation that belongs to the directory lies in a folder of its own
inside (``tau-sweep``, ``placebo``, ``confirm``).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from mlpspec.analysis.claims import COLLAPSE, EIGHT, Evidence, Verdict
from mlpspec.analysis.comparisons import Cell, Grid, aligned, as_table, by_steps, compare, where
from mlpspec.analysis.compression import Size, Sizes, smallest_levels
from mlpspec.analysis.compression import applies as is_compressed
from mlpspec.analysis.controls import answers, returned
from mlpspec.analysis.judging import judge_calibrated, judge_stated
from mlpspec.analysis.readings import decisive, judge_groups, judge_variants, shares
from mlpspec.analysis.survival import most_decisive, survival
from mlpspec.arrays import Array
from mlpspec.data.datasets import Uniform, mean_spacing
from mlpspec.errors import InputError
from mlpspec.metrics import nulls
from mlpspec.metrics.measure import OF_RESPONSES, measure
from mlpspec.metrics.statistics import beyond_rounding, summaries
from mlpspec.network.neurons import Params, neuron_of
from mlpspec.store.database import has_store
from mlpspec.store.packed import exists
from mlpspec.store.results import Results, Stack
from mlpspec.store.tables import Table, read_csv, write_csv
from mlpspec.study.choices import DEFAULT, Choices
from mlpspec.study.problem import domain_of, losses_of, start_of
from mlpspec.study.robustness import CHOICES
from mlpspec.study.run import PROBLEM, Run
from mlpspec.study.stages import choices_of

AVERAGES = ("means", "medians")
"""Of the seeds: what claims are judged on as stated."""

GRIDS = ("paper", "former", "confirm")
"""The studies whose grid the claims are judged on: in it nothing else varies but N and the seed."""


def read_verdicts(path: Path) -> list[Verdict]:
    """Return the verdicts that a ``claims.csv`` holds.

    Raises
    ------
    ValueError
        It is not one that mlpspec wrote.
    """
    types: dict[str, Any] = {field.name: type(field.default) for field in fields(Verdict)}
    later = {"against_at": ""}  # which tables of older versions lack
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        numbers = [name for name in types if types[name] in (float, int)]
        parsed = [{name: types[name](row[name] or "nan") for name in numbers} for row in rows]
        return [Verdict(**later | row | found) for row, found in zip(rows, parsed, strict=True)]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a table of verdicts ({error}); remove it") from None


@dataclass(frozen=True, eq=False)
class Problems:
    """Training problems that differ in seed alone: a run for each of S seeds, with its data.

    Attributes
    ----------
    runs : list of Run
        By ascending seed.
    x : (S, N, D)
    y : (S, N)
    """

    runs: list[Run]
    x: Array
    y: Array

    @property
    def seeds(self) -> Array:
        """(S,): the seeds."""
        return np.array([run.seed for run in self.runs])

    @property
    def domain(self) -> Uniform:
        """Where the inputs come from."""
        return domain_of(self.runs[0])

    @property
    def spacing(self) -> float:
        """Mean spacing of the inputs."""
        return mean_spacing(self.domain.width, *self.x.shape[1:])

    @property
    def critical(self) -> Array:
        """2 lambda_max(Cov x) (S,): where coverage alone collapses in theory.

        NaN where all inputs are equal, up to rounding.
        """
        covariances = [np.atleast_2d(np.cov(x.T, bias=True)) for x in self.x]
        apart = beyond_rounding(np.ptp(self.x, axis=1).max(axis=1), np.abs(self.x).max(axis=(1, 2)))
        found = 2.0 * np.linalg.norm(covariances, 2, axis=(1, 2))
        return np.where(np.isnan(apart), np.nan, found)

    @cached_property
    def nulls(self) -> dict[str, dict[str, Array]]:
        """Measurements (S,) by null: of the grid and of the untrained start."""
        first, domain = self.runs[0], self.domain
        starts = [self._network(s) for s in range(len(self.runs))]
        params = type(starts[0]).unflatten(
            np.vstack([p.flatten() for p in starts]), self.x.shape[2]
        )
        losses = losses_of(first)
        return {
            "grid": nulls.grid_null(self.x, first.hidden_units, domain),
            "start": measure(params, self.x, self.y, width=domain.width, losses=losses),
        }

    @cached_property
    def random_prototypes(self) -> dict[str, tuple[Array, Array, Array]]:
        """Measurements of random prototypes: mean, and limits of the 95 % band, each (S,)."""
        return nulls.random_null(self.x, self.seeds, self.runs[0].hidden_units, self.domain)

    @cached_property
    def random_networks(self) -> dict[str, tuple[Array, Array, Array]]:
        """The same of responses of random networks, drawn as starts."""
        return nulls.random_network_null(self.x, self.seeds, self._network)

    def _network(self, s: int, rng: np.random.Generator | None = None) -> Params:
        """Return the start of the s-th run, or another drawn like it (R = 1)."""
        start = start_of(self.runs[s], self.x[s], rng).astype(float)
        return neuron_of(self.runs[s].neuron).unflatten(start[None], self.x.shape[2])


class Analysis:
    """All that is derived from a results directory, computed when first asked for.

    Parameters
    ----------
    directory : path or Results
        Results may be some of a directory's runs (`Results.select`).

    Raises
    ------
    ValueError
        It, or a directory inside that belongs to it, cannot be read.
    """

    def __init__(self, directory: str | Path | Results) -> None:
        self.results = directory if isinstance(directory, Results) else Results(directory)
        self.directory = self.results.directory

    def inner(self, name: str) -> Analysis | None:
        """Return the analysis of the directory ``name`` inside, if it is there."""
        directory = self.directory / name
        return Analysis(directory) if has_store(directory) else None

    @cached_property
    def sweep(self) -> Analysis | None:
        """The temperature sweep that belongs to this directory."""
        return self.inner("tau-sweep")

    @cached_property
    def grid(self) -> Grid:
        """The runs by cell and subset."""
        return Grid(self.results.table)

    @cached_property
    def stacks(self) -> list[Stack]:
        """Weights and data of the runs."""
        return self.results.stacks()

    @cached_property
    def problem_fields(self) -> tuple[str, ...]:
        """The grid's fields on which data and start depend: cells of these are problems."""
        return tuple(name for name in self.grid.fields if name in PROBLEM)

    def _values(self, names: tuple[str, ...]) -> dict[str, Cell]:
        """Values of some fields by key."""
        table = self.results.table
        values = zip(*(table[name].tolist() for name in names), strict=True)
        return dict(zip(table["key"].tolist(), values, strict=True))

    @cached_property
    def problems(self) -> dict[Cell, Problems]:
        """The problems that were trained, by the values of `problem_fields`."""
        cells, runs = self._values(self.problem_fields), self.results.runs
        first: dict[Cell, dict[int, tuple[Run, Array, Array]]] = {}
        for keys, _, x, y in self.stacks:
            for row, key in enumerate(keys.tolist()):
                run = runs[key]
                first.setdefault(cells[key], {}).setdefault(run.seed, (run, x[row], y[row]))
        problems = {}
        for cell, by_seed in first.items():
            ordered, xs, ys = zip(*(by_seed[seed] for seed in sorted(by_seed)), strict=True)
            x, y = np.stack(xs).astype(float), np.stack(ys).astype(float)
            problems[cell] = Problems(list(ordered), x, y)
        return problems

    @cached_property
    def other_null(self) -> dict[tuple[Cell, str], tuple[dict[str, Array], Array]]:
        """Measurements (S,) of prototypes on other seeds' data, and seeds, by cell and subset."""
        runs, cells = self.results.runs, self._values(self.grid.fields)
        groups: dict[tuple[Cell, str], list[tuple[int, Array, Array]]] = {}
        for keys, params, x, _ in self.stacks:
            places = zip(x.astype(float), params.prototypes.astype(float), strict=True)
            for key, place in zip(keys.tolist(), places, strict=True):
                group = groups.setdefault((cells[key], runs[key].label), [])
                group.append((runs[key].seed, *place))
        null = {}
        for label, group in groups.items():
            seeds, xs, ps = zip(*sorted(group, key=itemgetter(0)), strict=True)
            null[label] = nulls.other_null(np.stack(xs), ps), np.array(seeds)
        return null

    @cached_property
    def evidence(self) -> list[Evidence]:
        """The evidence of the grid, one entry for each number of steps, ascending.

        The claims are about the eight subsets of the study: other losses are left out.
        """
        if not self.stacks or self.results.variants:
            return []
        stages = by_steps(where(self.results.table, losses=EIGHT))
        if not stages or any(grid.fields != ("n_samples",) for grid in stages.values()):
            return []
        spacing = {size: at.spacing for (size,), at in self.problems.items()}
        sweep = None if self.sweep is None else self.sweep.grid
        return [
            Evidence(grid, spacing, sweep, self._references(steps))
            for steps, grid in stages.items()
        ]

    def _references(self, steps: int) -> dict[tuple[str, int], tuple[Array, Array]]:
        """Return the `Evidence.references` of the runs of one number of steps."""
        found = {}
        for (size,), at in self.problems.items():
            found["grid", size] = at.nulls["grid"]["reconstruction_error"], at.seeds
            found["random", size] = at.random_prototypes["distinct_usage_ratio"][0], at.seeds
        for (cell, label), (scores, seeds) in self.other_null.items():
            if label == "coverage" and cell[1:] in ((), (steps,)):
                found["other", cell[0]] = scores["reconstruction_error"], seeds
        return found

    @property
    def choices(self) -> Choices:
        """The table of what the study's variants choose among."""
        return choices_of(self.results.study.name)

    @cached_property
    def readings(self) -> Table:
        """``readings.csv``: the verdicts in every variant.

        Empty unless each has the eight subsets and nothing else varies but sizes and seeds.
        """
        further = {*self.grid.fields} - {"n_samples", "variant"}
        if not self.results.variants or not {*EIGHT} <= {*self.grid.labels} or further:
            return {}
        sweep = None if self.sweep is None else self.sweep.results
        return judge_variants(self.results, sweep)

    @property
    def ranked(self) -> list[str]:
        """The variants from which the next stage takes the first; the best, or most decisive."""
        if not self.readings:
            return []
        return most_decisive(self.readings) if self.survival else self.readings["variant"].tolist()

    @cached_property
    def survival(self) -> Table:
        """``survival.csv``: which claims survive which choices, beside the default of them all."""
        variants = {*self.readings.get("variant", ())}
        if self.choices is not CHOICES or DEFAULT not in variants or len(variants) == 1:
            return {}
        chance = self.inner("chance")
        groups = None
        if chance is not None:
            sweep = None if chance.sweep is None else chance.sweep.results
            count = len(np.unique(self.results.table["seed"]))
            groups = judge_groups(chance.results, sweep, count)
        return survival(self.readings, self.choices, groups)

    @cached_property
    def controls(self) -> Table:
        """``controls.csv``: the answers to the questions of the study `controls`."""
        if self.results.identity["study"] != "controls" or not self.stacks:
            return {}
        grid = Grid(self.results.table, ("n_samples", "variant"))
        spacing = {size: at.spacing for (size,), at in self.problems.items()}

        def null(size: int, name: str) -> Array:
            at = self.problems[size,]
            spaced = nulls.grid_null(at.x, size, at.domain)
            return aligned(spaced[name], at.seeds, grid.seeds)

        return answers(grid, spacing, null, returned(self.results, grid))

    @property
    def compressed(self) -> Sizes:
        """The sizes of compressed networks that lie beside whole ones; else empty."""
        if not is_compressed(self.grid):
            return {}
        problems = self.problems.items()
        return {size: Size(at.spacing, at.runs[0].hidden_units) for (size,), at in problems}

    @cached_property
    def compression(self) -> Table:
        """``compression.csv``: down to which level what survives compression, by subset."""
        return smallest_levels(self.grid, self.compressed) if self.compressed else {}

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The claims: as stated on means and on medians, and calibrated on fresh seeds.

        A confirmation lies in the folder ``confirm`` and is judged on its own runs and its own
        sweep. Where it is there without its store, which is large, its tables serve: the verdicts
        of ``claims.csv``, and ``runs.csv`` to draw fresh seeds from. Empty for a study that is not
        the grid; of the study ``collapse`` what theory says of coverage.
        """
        study = self.results.identity["study"]
        if study == "collapse":
            problems = self.problems.items()
            critical = {("critical", size): (at.critical, at.seeds) for (size,), at in problems}
            theory = Evidence(sweep=self.grid, references=critical)
            return [v for of in AVERAGES for v in judge_stated(theory, of, claims=[COLLAPSE])]
        if study not in GRIDS:
            return []
        first = self.evidence[0] if self.evidence else Evidence()
        inner = self.directory / "confirm"
        fresh = self if study == "confirm" else self.inner("confirm")
        source, calibrated = None, judge_calibrated([])
        if fresh is not None and fresh.evidence:
            source = fresh.evidence[0]
            calibrated = judge_calibrated(fresh.evidence)
        elif (inner / "claims.csv").exists() and exists(inner / "runs.csv"):
            verdicts = read_verdicts(inner / "claims.csv")
            # An older version may have judged other claims.
            known = {v.claim: v for v in verdicts if v.basis == "calibrated"}
            calibrated = [known.get(untested.claim, untested) for untested in calibrated]
            runs = read_csv(inner / "runs.csv")
            source = Evidence(Grid(where(runs, steps=runs["steps"].min(), losses=EIGHT)))
        stated = [v for of in AVERAGES for v in judge_stated(first, of, source)]
        return stated + calibrated

    def claims_table(self) -> Table:
        """Return ``claims.csv``."""
        return as_table([asdict(verdict) for verdict in self.verdicts])

    def comparisons_table(self) -> Table:
        """Return ``comparisons.csv``; empty if nothing can be compared.

        Variants are judged each by itself (`readings`), and levels of compression by what survives
        down to them (`compression`): they are not compared in this table.
        """
        elsewhere = self.results.variants or "compress" in self.grid.fields
        return as_table(compare(self.grid)) if self.stacks and not elsewhere else {}

    @cached_property
    def nulls_table(self) -> Table:
        """``nulls.csv``: by null, problem (and subset, for ``other``) and measurement, over seeds.

        Statistics are over the ``count`` data sets in which the measurement is defined; for
        ``random``, ``low`` and ``high`` are the mean limits of the 95 % band of one set of random
        prototypes, or of one random network.
        """
        rows: list[dict[str, Any]] = []
        if self.results.variants:
            return {}

        def add(null: str, cell: Cell, label: str, name: str, values: Array, *band: Array) -> None:
            found = {key: number[0] for key, number in summaries(values[None]).items()}
            del found["std"]
            if found["count"]:
                low, high = summaries(np.stack(band))["mean"] if band else (np.nan, np.nan)
                rows.append(
                    {
                        "null": null,
                        "losses": label,
                        **dict(zip(self.problem_fields, cell, strict=True)),
                        "measurement": name,
                        **found,
                        "low": low,
                        "high": high,
                    }
                )

        # What the runs of an older version were not measured by has nothing to stand beside.
        measured = {*self.grid.names}
        for cell in sorted(self.problems):
            at = self.problems[cell]
            found: list[tuple[str, Mapping[str, Any]]] = [
                ("grid", at.nulls["grid"]),
                ("random", at.random_prototypes),
                ("start", at.nulls["start"]),
            ]
            if measured & {measurement.name for measurement in OF_RESPONSES}:
                found.append(("random", at.random_networks))
            for null, scores in found:
                for name, values in scores.items():
                    if name in measured:
                        add(null, cell, "", name, *np.atleast_2d(values))
        placebo = self.inner("placebo")
        if placebo is not None and placebo.grid.fields == self.problem_fields:
            for cell in placebo.grid.cells:
                for name in placebo.grid.names:
                    values = placebo.grid.values(cell, "baseline", name)
                    add("placebo", cell, "baseline", name, values)
        if self.grid.fields == self.problem_fields:
            for (cell, label), (others, _) in self.other_null.items():
                for name, values in others.items():
                    add("other", cell, label, name, values)
        return as_table(rows)

    def write_tables(self) -> None:
        """Write ``nulls.csv``, ``comparisons.csv``, ``claims.csv``, those that have rows.

        Of a study with variants ``readings.csv``, ``shares.csv`` and ``choices.csv``; of the
        robustness ``survival.csv``, of the controls ``controls.csv``, of compressed networks beside
        whole ones ``compression.csv``.
        """
        tables = {
            "nulls": self.nulls_table,
            "comparisons": self.comparisons_table(),
            "claims": self.claims_table(),
            "readings": self.readings,
            "shares": shares(self.readings) if self.readings else {},
            "choices": decisive(self.readings, self.choices) if self.readings else {},
            "survival": self.survival,
            "controls": self.controls,
            "compression": self.compression,
        }
        for name, table in tables.items():
            if table:
                write_csv(self.directory / f"{name}.csv", table)
