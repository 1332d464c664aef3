"""The command line ``mlpspec``: runs a command; errors become a line and an exit status."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sqlite3
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from mlpspec.cli.parser import INTRODUCTION, parser
from mlpspec.cli.terminal import BAD_INPUT, FAILED, INTERRUPTED, line, logged, put, warn
from mlpspec.errors import InputError, LossError, LossWarning, WorkerLostError
from mlpspec.running.surroundings import open_standard_streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    It is 0 if all went well, 1 if runs failed or a stated claim does not hold, 2 for bad input and
    130 after Ctrl-C.

    Examples
    --------
    >>> import contextlib
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     main(["run", "papr"])
    mlpspec: error: unknown study 'papr'; did you mean 'paper'?
    2
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that it cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        if not argv:
            put(*INTRODUCTION.splitlines())
            return 0
        arguments = parser().parse_args(argv)
        arguments.line = ["mlpspec", *argv]
        with warnings.catch_warnings():
            warnings.filterwarnings("always", category=LossWarning)
            usual = warnings.showwarning

            def show(message: Any, category: Any, *others: Any, **more: Any) -> None:
                if issubclass(category, LossWarning):
                    warn(f"warning: {line(str(message))}")
                else:
                    usual(message, category, *others, **more)

            warnings.showwarning = show
            command = _command(arguments.command)
            with logged() if getattr(arguments, "verbose", False) else contextlib.nullcontext():
                return command(arguments)
    except LossError as error:
        warn(*f"error: {error}".split("\n"))  # a line for each fault
        return BAD_INPUT
    except InputError as error:
        return _complain(str(error))
    except sqlite3.Error as error:
        return _complain(
            f"the store failed: {error}; what was stored before is kept: when that is mended, the "
            "same command goes on"
        )
    except WorkerLostError as error:
        warn(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except MemoryError as error:
        return _complain(f"memory does not suffice: {error}")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror or error}")


def _command(name: str) -> Callable[[Namespace], int]:
    """Return the function of a command, whose module is loaded only now: numpy takes its time."""
    # While modules load there is nothing to lose, and an exception would only garble them.
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        homes = dict.fromkeys(("run", "check-loss", "loss-card"), "run")
        homes |= dict.fromkeys(("diff", "merge"), "sharing")
        module = import_module(f"mlpspec.cli.{homes.get(name, 'results')}")
        command: Callable[[Namespace], int] = getattr(module, name.replace("-", "_"))
        return command
    finally:
        signal.signal(signal.SIGINT, before)


def _complain(message: str) -> int:
    warn(f"error: {line(message)}")
    return BAD_INPUT
