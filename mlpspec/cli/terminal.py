"""What all commands share: exit statuses, and text that a terminal can show."""

from __future__ import annotations

import argparse
import contextlib

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

LONGEST = 600
"""Characters of a message, about: the rest of a value that is longer tells nobody more."""


def line(message: str) -> str:
    """Return a message as one line of bearable length."""
    line = shown(" ".join(message.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def shown(text: str) -> str:
    """Return text with nothing in it that could steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def last_line(error: str) -> str:
    """Return the last line of a traceback, which says what went wrong."""
    return line(next(reversed(error.strip().splitlines()), "no reason is known"))


def say(arguments: argparse.Namespace, text: str) -> None:
    """Print text on standard output, unless the command is to be quiet."""
    if not arguments.quiet:
        with contextlib.suppress(BrokenPipeError):  # the runs matter, not who reads of them
            print(text, flush=True)


def duration(seconds: float) -> str:
    """Return seconds as text, in the unit that suits them."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
