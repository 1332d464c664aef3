"""What all commands share: exit statuses, and text that a terminal can show."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Iterator

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

LONGEST = 600
"""Characters of a message, about: the rest of a value that is longer tells nobody more."""


def line(message: str) -> str:
    r"""Return a message as one line of bearable length.

    Examples
    --------
    >>> line("two\nlines")
    'two lines'
    """
    text = shown(" ".join(message.split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def shown(text: str) -> str:
    r"""Return text with nothing in it that could steer a terminal.

    Examples
    --------
    >>> print(shown("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def last_line(error: str) -> str:
    r"""Return the last line of a traceback, which says what went wrong.

    Examples
    --------
    >>> last_line("Traceback (most recent call last):\n  ...\nValueError: no")
    'ValueError: no'
    """
    return line(next(reversed(error.strip().splitlines()), "no reason is known"))


def say(arguments: argparse.Namespace, text: str) -> None:
    """Print text on standard output, unless the command is to be quiet."""
    if not arguments.quiet:
        with contextlib.suppress(BrokenPipeError):  # the runs matter, not who reads of them
            put(text)


def put(*lines: str) -> None:
    r"""Print lines on standard output, each as `shown`; all that commands print goes this way.

    Examples
    --------
    >>> put("in a\nb", "there")
    in a\nb
    there
    """
    print(*map(shown, lines), sep="\n", flush=True)


def warn(*lines: str) -> None:
    """Print a message on standard error, quiet or not, its lines as `shown`."""
    print("mlpspec:", "\n".join(map(shown, lines)), file=sys.stderr)


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """Show on standard error what the package logs, from INFO on, each record a line."""
    logger, handler = logging.getLogger("mlpspec"), _Lines(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from mlpspec.running.progress import write_above  # numpy takes its time

        write_above(shown(self.format(record)))


def duration(seconds: float) -> str:
    """Return seconds as text, in the unit that suits them.

    Examples
    --------
    >>> [duration(seconds) for seconds in (1.23, 45.6, 789.0, 12345.0)]
    ['1.2 s', '46 s', '13 min', '3.4 h']
    """
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
