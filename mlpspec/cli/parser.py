"""The options of all commands."""

from __future__ import annotations

import argparse
from typing import NoReturn

from mlpspec import __version__
from mlpspec.errors import InputError
from mlpspec.training.engine import ASKED

INTRODUCTION = """\
mlpspec trains minimal Gaussian MLPs with structural losses, and measures
whether their data can be read back from the weights. Three examples:

  mlpspec run                        train the 480 runs of the study, and report
  mlpspec verify runs/paper          say which of its claims hold
  mlpspec check-loss mine.py:Mine    try a loss of your own

Where to go: mlpspec --help lists the commands, mlpspec COMMAND --help says what
each can do, mlpspec studies lists studies and settings. README.md explains them
all, experiments/README.md studies, losses and data of your own.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="mlpspec",
        description="Train minimal Gaussian MLPs with structural losses in controlled studies, "
        "and measure whether their data can be read back from the weights.",
        epilog="exit status: 0 fine; 1 some runs failed, verify found a stated claim that does not "
        "hold, or diff a difference; 2 bad usage or input; 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"mlpspec {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        usage="mlpspec run [STUDY] [OPTION ...]",
        help="train the runs of a study that are missing",
        description="Train the runs of a study that its results directory lacks.",
        epilog="Run it again to continue what was interrupted, or to add seeds and sizes.",
    )
    run.add_argument(
        "study",
        nargs="?",
        default="paper",
        metavar="STUDY",
        help="a name from `mlpspec studies`, or a Python file that defines STUDY (default: paper)",
    )
    run.add_argument("--out", metavar="DIR", help="results directory (default: runs/STUDY)")
    run.add_argument("--jobs", type=_whole, default=-1, metavar="N", help="workers (default: all)")
    run.add_argument("--dask", metavar="ADDRESS", help="train on a Dask cluster, tcp://host:8786")
    _add_engine(run)
    run.add_argument("--seeds", metavar="A:B", help="seeds A to B-1, or a list like 0,3,7")
    run.add_argument("--sizes", metavar="N,N", help="sizes of the data set, like 3,5,10")
    run.add_argument("--variants", metavar="A,B", help="these variants of the study alone")
    run.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="for all runs, like steps=500: `mlpspec studies`",
    )
    run.add_argument(
        "--loss",
        action="append",
        default=[],
        metavar="NAME=FILE_OR_MODULE:CLASS(args)",
        dest="losses",
        help="a loss of your own (may be repeated); runs the code of that file, which no other "
        "option does",
    )
    run.add_argument(
        "--subsets", metavar="WHICH", help="all, singles, pairs, or labels: baseline,coverage+mine"
    )
    run.add_argument("--fail-fast", action="store_true", help="stop at the first failed run")
    run.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
    _add_voice(run)
    run.add_argument(
        "--only", action="store_true", help="no companion studies (the sweep ...) and no report"
    )

    status = commands.add_parser("status", help="say what a results directory holds")
    status.add_argument(
        "--watch", action="store_true", help="again and again, until the study is complete"
    )
    report = commands.add_parser("report", help="make tables, figures and report.html anew")
    report.add_argument("--pdf", action="store_true", help="figures also as PDF")
    verify = commands.add_parser("verify", help="print the verdicts on the claims")
    recover = commands.add_parser("recover", help="save what is intact in a damaged directory")
    recover.add_argument("--out", required=True, metavar="NEW", help="new results directory")
    export = commands.add_parser("export", help="write results in another format")
    what = export.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--format",
        choices=("csv", "parquet", "npz"),
        help="csv: tables of runs and summary; parquet: table of runs; npz: weights and data",
    )
    what.add_argument(
        "--environment",
        action="store_true",
        help="the versions that a session ran with, as constraints for pip, on standard output",
    )
    export.add_argument("--session", type=_whole, metavar="N", help="of --environment (the last)")
    export.add_argument("--out", metavar="FILE", help="of --environment, in place of printing")

    for command in (status, report, verify, recover, export):
        command.add_argument("directory", metavar="DIR")

    diff = commands.add_parser(
        "diff",
        help="say in what two results directories differ",
        description="Compare the runs that two directories have both, what they were made with, "
        "and their verdicts. One without a store is compared by its tables.",
        epilog="Differences are absolute, and relative where a number is above 1. Exit status: 0 "
        "alike within the tolerance, 1 not, 2 bad input.",
    )
    diff.add_argument("first", metavar="A", help="results directory")
    diff.add_argument("second", metavar="B", help="another one, such as results/paper")
    diff.add_argument(
        "--tolerance",
        type=_tolerance,
        default=0.01,
        metavar="D",
        help="largest difference of a measurement (default: %(default)s)",
    )
    merge = commands.add_parser(
        "merge",
        help="join the runs of several directories of one study into a new one",
        description="Write the runs of several results directories of one study, and of the "
        "studies in folders inside them, into a new directory. The old ones are only read.",
        epilog="A run with other bits in two directories is refused, or with --prefer first taken "
        "from the one that is named first.",
    )
    merge.add_argument("directories", nargs="+", metavar="DIR", help="two or more")
    merge.add_argument("--out", required=True, metavar="NEW", help="new results directory")
    merge.add_argument(
        "--prefer", choices=("first",), help="whose runs to take where their bits differ"
    )

    check = commands.add_parser("check-loss", help="say whether a loss of your own is right")
    check.add_argument(
        "--neuron", choices=("ridge", "radial"), default="ridge", help="the kind it is tried on"
    )
    card = commands.add_parser(
        "loss-card",
        help="make one page and one table that compare a loss with others",
        description="Check a loss, measure its force, train it alone and beside the fit, and write "
        "card.html, card.csv and figures/.",
        epilog="The same runs and columns for every loss. A second call trains nothing.",
    )
    for command in (check, card):
        command.add_argument(
            "loss",
            metavar="FILE_OR_MODULE:CLASS(args)",
            help="the loss, like mine.py:Mine(a=2) or mlpspec.losses:Coverage; runs that code",
        )
    card.add_argument("--out", metavar="DIR", help="directory (default: runs/loss-card-NAME)")
    card.add_argument("--name", help="of the loss on the card (default: its class's)")
    card.add_argument("--jobs", type=_whole, default=-1, metavar="N", help="workers (default: all)")
    _add_engine(card)
    _add_voice(card)

    commands.add_parser("studies", help="list the named studies and the settings")
    return parser


def _add_voice(command: argparse.ArgumentParser) -> None:
    voice = command.add_mutually_exclusive_group()
    voice.add_argument("--quiet", action="store_true", help="print errors only")
    voice.add_argument(
        "-v", "--verbose", action="store_true", help="log plan, batches and faults on stderr"
    )


def _add_engine(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--engine",
        choices=ASKED,
        default="auto",
        metavar="NAME",
        help="numpy, compiled, or auto: as in the last session",
    )


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _tolerance(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0.0:  # nor is what is no number
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return number
