"""The commands for users' losses: ``check-loss`` and ``loss-card``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from mlpspec import losses
from mlpspec.cli.run import tasks_of, train
from mlpspec.cli.terminal import FAILED, say
from mlpspec.running.workers import count_jobs
from mlpspec.study.extensions import load_loss


def check_loss(arguments: Namespace) -> int:
    """Print what a check of a loss found; a fault is an error."""
    print(losses.check_loss(load_loss(arguments.loss), neuron=arguments.neuron))
    return 0


def loss_card(arguments: Namespace) -> int:
    """Check a loss, train what its card lacks, and write the card."""
    from mlpspec.report import card, card_report  # matplotlib takes its time

    loss = load_loss(arguments.loss)
    name = card.name_of(loss, arguments.name)
    checks = losses.check_loss(loss)
    directory = Path(arguments.out or f"runs/loss-card-{name}")
    n_jobs = count_jobs(arguments.jobs)
    forces = card.forces(loss)
    studies = {
        directory: card.study(loss, card.weight_unit(forces)),
        directory / "alone": card.alone_study(loss),
    }
    tasks = tasks_of(studies, arguments.engine)  # both can be used, before anything is trained
    failed = sum(train(arguments, task, n_jobs) for task in tasks)
    if failed:
        return FAILED  # a card shows all of its runs; the next call tries these again
    say(arguments, f"card: {card_report.write(directory, name, checks, forces)}")
    return 0
