"""The named studies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from mlpspec import losses
from mlpspec.data.datasets import FILE
from mlpspec.losses import BUILT_IN, StructuralLoss
from mlpspec.study.compression import compression
from mlpspec.study.controls import controls, phase
from mlpspec.study.readings import READING, SIZES, SWEPT, TEMPERATURES, readings
from mlpspec.study.robustness import robustness
from mlpspec.study.run import EXTENDABLE, SETTINGS
from mlpspec.study.study import Study
from mlpspec.study.subsets import subsets


def paper() -> Study:
    """Return the 480-run grid: eight loss subsets, six sizes, ten seeds.

    Its prototypes are recorded while they train, for ``explore.html``.

    Examples
    --------
    >>> len(paper().runs), paper().settings == READING | {"record": "log"}
    (480, True)
    """
    return Study(
        "paper",
        {"losses": subsets(BUILT_IN), "n_samples": SIZES, "seed": range(10)},
        {**READING, "record": "log"},
        question="Does a structural loss make hidden neurons specialise on the training inputs?",
    )


def former() -> Study:
    """Return the grid with the settings that ``paper`` had before.

    Examples
    --------
    >>> former().settings
    {}
    """
    return Study("former", paper().axes, question=paper().question)


def tau_sweep() -> Study:
    """Return coverage alone and separation alone at 13 temperatures, 1e-5 to 10, two a decade.

    Examples
    --------
    >>> tau_sweep().axes["temperature"][:3]
    (1e-05, 3.16e-05, 0.0001)
    """
    return Study(
        "tau-sweep",
        {
            "losses": (("coverage",), ("separation",)),
            "n_samples": SWEPT,
            "temperature": TEMPERATURES,
            "seed": range(10),
        },
        {**READING, "separation_temperature": None},
        "At which temperatures does coverage merge and separation expel the prototypes?",
    )


def collapse() -> Study:
    """Return coverage alone and without the fit at 13 temperatures: a check of theory.

    Examples
    --------
    >>> collapse().settings["fit_weight"]
    0.0
    """
    return Study(
        "collapse",
        {**tau_sweep().axes, "losses": (("coverage",),)},
        {**tau_sweep().settings, "fit_weight": 0.0},
        "Does coverage alone collapse at the temperature that theory says?",
    )


def confirm() -> Study:
    """Return the grid again on a hundred fresh seeds, at 3,000 and at 10,000 steps.

    Examples
    --------
    >>> confirm().axes["steps"]
    (3000, 10000)
    """
    return Study(
        "confirm",
        {**paper().axes, "seed": range(100, 200), "steps": (3000, 10000)},
        READING,
        "Do the grid's findings hold on fresh seeds, and after longer training?",
    )


def placebo() -> Study:
    """Return the baseline of the grid from another start: a treatment without substance.

    Examples
    --------
    >>> placebo().settings["start"]
    'placebo'
    """
    return Study(
        "placebo",
        {"losses": ((),), **{name: paper().axes[name] for name in ("n_samples", "seed")}},
        {**READING, "start": "placebo"},
        question="How far apart are two baselines that differ in nothing but their start?",
    )


def hull_2d() -> Study:
    """Return the eight subsets on inputs in the plane.

    Examples
    --------
    >>> hull_2d().settings["n_inputs"], hull_2d().axes["n_samples"]
    (2, (12, 30))
    """
    return Study(
        "hull-2d",
        {"losses": subsets(BUILT_IN), "n_samples": (12, 30), "seed": range(10)},
        {**READING, "n_inputs": 2, "record": "log"},
        question="Which ridges and prototypes leave the convex hull of inputs in the plane?",
    )


def trajectories() -> Study:
    """Return four networks of one seed, recorded while they train.

    Examples
    --------
    >>> [run.label for run in trajectories().runs]
    ['baseline', 'coverage', 'separation', 'overlap']
    """
    return Study(
        "trajectories",
        {"losses": ((), ("coverage",), ("separation",), ("overlap",)), "seed": (0,)},
        {**READING, "n_samples": 20, "record_every": 10},
        question="Where do the prototypes go while the network trains?",
    )


ATTRACTORS: dict[str, StructuralLoss] = {
    "coverage": losses.Coverage(),
    "hard_coverage": losses.HardCoverage(),
    "reverse_coverage": losses.ReverseCoverage(),
}
REPULSIONS: dict[str, StructuralLoss] = {
    "separation": losses.Separation(),
    "overlap": losses.Overlap(),
    "log_repulsion": losses.LogRepulsion(),
}


def attractors() -> Study:
    """Return every repulsive loss with every attractor and with none, force-matched.

    The hull barrier is left out: where no prototype starts outside the hull it has no force that
    could be matched. Nor has separation at a small temperature, where no two prototypes start close
    to each other: it has the temperature of coverage here.

    Examples
    --------
    >>> len(attractors().axes["losses"]), attractors().settings["weight_unit"]
    (16, 'force')
    """
    single = {**ATTRACTORS, **REPULSIONS}
    return Study(
        "attractors",
        {"losses": ((),), "n_samples": (10, 20, 50), "seed": range(10)},
        {**READING, "separation_temperature": None, "weight_unit": "force", "weight": 0.3},
        question="Which attractor rescues the prototypes from which repulsion?",
    ).with_losses(
        {name: loss for name, loss in single.items() if name not in BUILT_IN},
        [
            tuple(filter(None, pair))
            for pair in itertools.product(("", *ATTRACTORS), ("", *REPULSIONS))
        ],
    )


def neuron_kinds() -> Study:
    """Return the eight subsets with ridge and with radial neurons, matched at the start.

    Examples
    --------
    >>> neuron_kinds().axes["neuron"]
    ('ridge', 'radial')
    """
    return Study(
        "neuron-kinds",
        {
            "losses": subsets(BUILT_IN),
            "n_samples": (10, 20, 50),
            "neuron": ("ridge", "radial"),
            "seed": range(10),
        },
        settings=READING,
        question="Is expulsion a matter of parametrisation?",
    )


def shift_test() -> Study:
    """Return single losses with both kinds of neuron, data and start moved by 0, 1 and 3.

    Examples
    --------
    >>> shift_test().axes["shift"]
    (0.0, 1.0, 3.0)
    """
    return Study(
        "shift-test",
        {
            "losses": subsets(BUILT_IN)[:4],
            "n_samples": (10, 20),
            "neuron": ("ridge", "radial"),
            "shift": (0.0, 1.0, 3.0),
            "seed": range(10),
        },
        settings=READING,
        question="What changes when data and start are moved together?",
    )


def monosemanticity() -> Study:
    """Return the eight subsets, and inhibition and promotion of monosemantic responses.

    Examples
    --------
    >>> len(monosemanticity().runs), [*monosemanticity().extensions]
    (800, ['inhibition', 'promotion'])
    """
    return Study(
        "monosemanticity",
        {"losses": subsets(BUILT_IN), "n_samples": (5, 10, 20, 50), "seed": range(20)},
        READING,
        "Does what makes prototypes specialise make neurons monosemantic, and the reverse?",
    ).with_losses(
        {"inhibition": losses.Inhibition(), "promotion": losses.Inhibition(promote=True)},
        [*subsets(BUILT_IN), ("inhibition",), ("promotion",)],
    )


def deactivation() -> Study:
    """Return the baseline of ``monosemanticity`` with reversed deactivation in training.

    Examples
    --------
    >>> deactivation().settings["deactivation"]
    0.02
    """
    return Study(
        "deactivation",
        {"losses": ((),), **{name: monosemanticity().axes[name] for name in ("n_samples", "seed")}},
        {**READING, "deactivation": 0.02},
        question="Does reversed deactivation make neurons less monosemantic?",
    )


_NAMED: list[Callable[[], Study]] = [paper, former, tau_sweep, confirm, hull_2d, placebo]
_NAMED += [trajectories, attractors, neuron_kinds, shift_test, collapse, readings, robustness]
_NAMED += [controls, phase, monosemanticity, deactivation, compression]

STUDIES: dict[str, Callable[[], Study]] = {
    study.__name__.replace("_", "-"): study for study in _NAMED
}
"""Every named study, as a function that describes it."""

COMPANIONS: dict[str, tuple[str, ...]] = {
    "paper": ("tau-sweep", "placebo", "trajectories"),
    "former": ("tau-sweep", "placebo", "trajectories"),
    "confirm": ("tau-sweep",),
    "controls": ("phase",),
    "monosemanticity": ("deactivation", "placebo"),
}
"""Small studies that the report of another one rests on; they lie in folders inside that one's."""

CHANGED: dict[str, dict[str, Any]] = {
    "former": {name: SETTINGS[name].default for name in READING},
    "confirm": {"seed": confirm().axes["seed"]},
    "monosemanticity": {name: monosemanticity().axes[name] for name in ("n_samples", "seed")},
}
"""How the companions of a study differ from those of ``paper``."""


def companion(
    name: str, changes: Mapping[str, Any], losses: Mapping[str, Any] | None = None
) -> Study | None:
    """Return the companion ``name`` of a study that was changed by ``changes``.

    Settings carry over where the companion does not vary or fix them itself, seeds and sizes where
    it has them as axes; of the sizes those that the companion has too, or all if it has none.
    Trajectories show the study's custom ``losses`` too. None if the companion says nothing about
    the changed study (trajectories are drawn on a line).

    Examples
    --------
    >>> companion("placebo", {"seed": (0, 1), "steps": 50}).settings["steps"]
    50
    >>> companion("trajectories", {"n_inputs": 2}) is None
    True
    """
    study = STUDIES[name]()
    fixed = {field for field, value in study.settings.items() if READING.get(field) != value}
    carried = {
        field: value
        for field, value in changes.items()
        if field not in fixed and (field not in study.axes or field in EXTENDABLE)
    }
    if "n_samples" in carried and "n_samples" in study.axes:
        sizes = tuple(size for size in carried["n_samples"] if size in study.axes["n_samples"])
        carried["n_samples"] = sizes or carried["n_samples"]
    if name == "trajectories":
        carried["seed"] = tuple(changes.get("seed", (0,)))[:1]
        if losses:
            study = study.with_losses(losses, "singles")
        if str(changes.get("dataset", "")).startswith(FILE) and "n_samples" in changes:
            # There may be no more rows than the study asks for.
            largest = max(int(size) for size in changes["n_samples"])
            carried["n_samples"] = min(largest, study.settings["n_samples"])
    study = study.replace(**carried)
    return None if name == "trajectories" and study.runs[0].n_inputs > 1 else study
