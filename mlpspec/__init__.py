"""Can a training bias make the hidden neurons of a minimal MLP specialise?

``mlpspec`` trains one-hidden-layer Gaussian MLPs with and without structural losses, in hundreds
of controlled runs, and measures whether their training data can be read back from the weights.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlpspec import losses, studies
    from mlpspec.errors import InputError, LossError, WorkerLostError
    from mlpspec.losses import StructuralLoss, check_loss
    from mlpspec.losses.objective import Objective
    from mlpspec.metrics.measure import measure
    from mlpspec.network.forward import Forward, backward, forward
    from mlpspec.network.neurons import RadialParams, RidgeParams
    from mlpspec.running.runner import run_study
    from mlpspec.store.results import Results, load
    from mlpspec.study.run import Run
    from mlpspec.study.study import Study
    from mlpspec.training.trainer import Curve, Trained, train

__version__ = "0.1.0"

# Loaded when first asked for, so that the command line starts at once.
_HOME = {
    "Curve": "training.trainer",
    "Trained": "training.trainer",
    "WorkerLostError": "errors",
    "InputError": "errors",
    "LossError": "errors",
    "StructuralLoss": "losses",
    "check_loss": "losses",
    "measure": "metrics.measure",
    "Forward": "network.forward",
    "RadialParams": "network.neurons",
    "RidgeParams": "network.neurons",
    "backward": "network.forward",
    "forward": "network.forward",
    "Objective": "losses.objective",
    "Results": "store.results",
    "load": "store.results",
    "run_study": "running.runner",
    "Run": "study.run",
    "Study": "study.study",
    "train": "training.trainer",
}

__all__ = [
    "Curve",
    "Forward",
    "InputError",
    "LossError",
    "Objective",
    "RadialParams",
    "Results",
    "RidgeParams",
    "Run",
    "StructuralLoss",
    "Study",
    "Trained",
    "WorkerLostError",
    "backward",
    "check_loss",
    "forward",
    "load",
    "losses",
    "measure",
    "run_study",
    "studies",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in ("losses", "studies"):
        return import_module(f"mlpspec.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'mlpspec' has no attribute {name!r}")
    return getattr(import_module(f"mlpspec.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
