"""The commands for users' losses: ``check-loss`` and ``loss-card``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mlpspec.cli.run import tasks_of, train
from mlpspec.cli.terminal import FAILED, say


def check_loss(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    """Print what a check of a loss found; a fault is an error."""
    from mlpspec.losses import check_loss
    from mlpspec.study.extensions import load_loss

    print(check_loss(load_loss(arguments.loss), neuron=arguments.neuron))
    return 0


def loss_card(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    """Check a loss, train what its card lacks, and write the card."""
    from mlpspec.losses import check_loss
    from mlpspec.report import card, card_report
    from mlpspec.running import workers
    from mlpspec.study.extensions import load_loss

    loss = load_loss(arguments.loss)
    name = card.name_of(loss, arguments.name)
    checks = check_loss(loss)
    directory = Path(arguments.out or f"runs/loss-card-{name}")
    n_jobs = workers.count_jobs(arguments.jobs)
    forces = card.forces(loss)
    studies = {
        directory: card.study(loss, card.weight_unit(forces)),
        directory / "alone": card.alone_study(loss),
    }
    tasks = tasks_of(studies, arguments.engine)  # both can be used, before anything is trained
    failed = sum(train(arguments, argv, task, n_jobs) for task in tasks)
    if failed:
        return FAILED  # a card shows all of its runs; the next call tries these again
    say(arguments, f"card: {card_report.write(directory, name, checks, forces)}")
    return 0
