"""Can a training bias make the hidden neurons of a minimal MLP specialise?

``mlpspec`` trains one-hidden-layer Gaussian MLPs with and without structural losses, in hundreds
of controlled runs, and measures whether their training data can be read back from the weights.
"""

from __future__ import annotations

import logging
from importlib import import_module

from mlpspec import opened

TYPE_CHECKING = False  # true for type checkers; `typing` itself takes its time
if TYPE_CHECKING:
    from typing import Any

    from mlpspec import compress as compress
    from mlpspec import losses as losses
    from mlpspec import studies as studies
    from mlpspec.errors import InputError as InputError
    from mlpspec.errors import LossError as LossError
    from mlpspec.errors import WorkerLostError as WorkerLostError
    from mlpspec.losses import Formula as Formula
    from mlpspec.losses import StructuralLoss as StructuralLoss
    from mlpspec.losses import check_loss as check_loss
    from mlpspec.losses.objective import Objective as Objective
    from mlpspec.metrics.measure import measure as measure
    from mlpspec.metrics.monosemanticity import RunningMonosemanticity as RunningMonosemanticity
    from mlpspec.metrics.monosemanticity import monosemanticity as monosemanticity
    from mlpspec.network.forward import Forward as Forward
    from mlpspec.network.forward import backward as backward
    from mlpspec.network.forward import forward as forward
    from mlpspec.network.neurons import RadialParams as RadialParams
    from mlpspec.network.neurons import RidgeParams as RidgeParams
    from mlpspec.running.runner import run_study as run_study
    from mlpspec.store.results import Results as Results
    from mlpspec.store.results import load as load
    from mlpspec.study.ends import hold as hold
    from mlpspec.study.run import Run as Run
    from mlpspec.study.study import Study as Study
    from mlpspec.training.trainer import Curve as Curve
    from mlpspec.training.trainer import Trained as Trained
    from mlpspec.training.trainer import train as train

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # quiet unless asked

opened.watch()  # before losses are loaded, whose formulas may lie in files

# Loaded when first asked for, so that the command line starts at once.
_NAMES = {
    "errors": ("InputError", "LossError", "WorkerLostError"),
    "losses": ("Formula", "StructuralLoss", "check_loss"),
    "losses.objective": ("Objective",),
    "metrics.measure": ("measure",),
    "metrics.monosemanticity": ("RunningMonosemanticity", "monosemanticity"),
    "network.forward": ("Forward", "backward", "forward"),
    "network.neurons": ("RadialParams", "RidgeParams"),
    "running.runner": ("run_study",),
    "store.results": ("Results", "load"),
    "study.ends": ("hold",),
    "study.run": ("Run",),
    "study.study": ("Study",),
    "training.trainer": ("Curve", "Trained", "train"),
}
_MODULES = ("compress", "losses", "studies")
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"mlpspec.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'mlpspec' has no attribute {name!r}")
    return getattr(import_module(f"mlpspec.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
