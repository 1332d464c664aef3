"""Columns of numbers from CSV files: found by content, read with every cell checked, scaled."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mlpspec.arrays import Array
from mlpspec.data.held import ARRAYS, HELD, hash_of, table_of
from mlpspec.errors import InputError, unknown

MOST_BYTES = 100_000_000
"""Of a file; the limit is one of patience and memory, not of principle."""

SCALINGS = ("columns", "common")

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " ", "bar": "|"}
"""What may stand between cells, by name; ``space`` is any run of blanks."""

DECIMALS = {"point": ".", "comma": ","}
"""What may stand before the decimals, by name."""

MISSING = re.compile(
    r"|#?N/A|#N/A N/A|#?NA|<NA>|n/a|NULL|null|None|-?NaN|-?nan|-?1\.#(IND|QNAN)", re.ASCII
)
"""Words that pandas, among others, reads as no value: no name that our tables hold may be one."""

SENTINEL = re.compile(r"[+-]?(9{2,}(\.(9+|25))?|3276[78]|65535|214748364[78])(\.0*)?")
"""How missing values are often written. A measured one can be written in another way, -9.99e+2."""


def content_hash(path: str) -> str:
    """Return 16 hexadecimal digits that stand for the bytes of a file.

    Raises
    ------
    ValueError
        It cannot be read, or is larger than `MOST_BYTES`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     content_hash(file.name)
    'e3b0c44298fc1c14'
    """
    return hash_of(_bytes_of(path))


def other_line_ends(path: str, content: str) -> str:
    r"""Return what to say if a file has the hash ``content`` but for line ends and such, else "".

    Line ends may be LF, CRLF or CR, the last one may be missing, and a byte-order mark may precede
    the text.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     before = content_hash(file.name)
    ...     _ = file.write(b"\r\n")
    ...     file.flush()
    ...     other_line_ends(file.name, before)
    ' only in its line ends or byte-order mark'
    """
    if path == ARRAYS:
        return ""
    mark = b"\xef\xbb\xbf"
    text = _bytes_of(path).removeprefix(mark).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    texts = (text, text.rstrip(b"\n"), text.rstrip(b"\n") + b"\n")
    for begin, body, end in itertools.product((b"", mark), texts, (b"\n", b"\r\n", b"\r")):
        if hash_of(begin + body.replace(b"\n", end)) == content:
            return " only in its line ends or byte-order mark"
    return ""


@lru_cache(maxsize=8)
def read_columns(
    path: str,
    content: str,
    names: tuple[str, ...],
    separator: str = "comma",
    decimal: str = "point",
) -> Array:
    r"""Return the columns ``names`` of a CSV file, (M, len(names)), read-only.

    The first line names the columns; cells may be quoted; blank lines do not count. The text is
    UTF-8, with or without a byte-order mark.

    Parameters
    ----------
    path : str
    content : str
        What `content_hash` was when the file was described.
    names : tuple of str
    separator : str
        Of cells, a name among `SEPARATORS`.
    decimal : str
        What precedes the decimals, a name among `DECIMALS`.

    Raises
    ------
    ValueError
        The file cannot be read, has another content or no header, has fewer than two rows, lacks
        a column or has it twice; a cell is not a finite number, or one that doubles cannot hold;
        different cells are one number as doubles, or some look like missing values
        (`SENTINEL`). The message says where, and names a separator with which the file can be
        read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("width,length,name\n1,2,a\n3,4,b\n")
    ...     file.flush()
    ...     read_columns(file.name, content_hash(file.name), ("length", "width")).tolist()
    [[2.0, 1.0], [4.0, 3.0]]
    """
    if path == ARRAYS and content not in HELD:
        raise InputError(
            f"the study's arrays ({content}) are not in memory; give them again with "
            "study.with_data(x, y)"
        )
    raw = table_of(content) if path == ARRAYS else _bytes_of(path)
    if hash_of(raw) != content:
        raise InputError(
            f"{path} has changed{other_line_ends(path, content)} since it was described (content "
            f"{hash_of(raw)}, described as {content}); restore it, or start anew with --out in "
            "another directory"
        )
    if b"\0" in raw[:2]:
        raise InputError(f"{path} is not UTF-8, but perhaps UTF-16; save it as CSV in UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.start + 1}); save it as CSV in UTF-8"
        ) from None
    try:
        rows = _rows(path, text, names, separator, decimal)
    except InputError:
        _advise(path, text, names, separator, decimal)
        raise
    if len(rows) < 2:
        raise InputError(f"{path} has {len(rows)} rows of data; at least 2 are needed")
    table = np.array([[number for number, _ in row] for row in rows])
    for name, column, cells in zip(names, table.T, zip(*rows, strict=True), strict=True):
        _check_column(f"{path}: column {name!r}", column, [text for _, text in cells])
    table.flags.writeable = False
    return table


def scaled(path: str, table: Array, names: Sequence[str], scaling: str) -> Array:
    """Return columns (M, C) centred on their means and divided so that all lie in [-1, 1].

    The divisor is each column's largest absolute deviation (``columns``), or the largest of all
    (``common``), which keeps the columns' aspect.

    Raises
    ------
    ValueError
        A column has one value only.

    Examples
    --------
    >>> table = np.array([[0.0, 10.0], [2.0, 50.0], [4.0, 30.0]])
    >>> scaled("leaves.csv", table, ("width", "length"), "columns").round(9).tolist()
    [[-1.0, -1.0], [0.0, 1.0], [1.0, 0.0]]
    >>> scaled("leaves.csv", table, ("width", "length"), "common").round(9).tolist()
    [[-0.1, -1.0], [0.0, 1.0], [0.1, 0.0]]
    """
    for name, column in zip(names, table.T, strict=True):
        if column.min() == column.max():
            raise InputError(
                f"{path}: column {name!r} is {column[0]:g} in every row and cannot be scaled; "
                "leave it out"
            )
    # Divided by a power of two first, which is exact, so that nothing can overflow. Then a value
    # of the column is subtracted, so that numbers far from zero keep the digits in which they
    # differ: rounding is relative to differences from here on.
    largest = np.abs(table).max(axis=0 if scaling == "columns" else None)
    deviation = np.ldexp(table, -np.frexp(largest)[1])
    deviation -= deviation[0].copy()
    deviation -= [math.fsum(column) / len(column) for column in deviation.T]
    reach = np.abs(deviation).max(axis=0 if scaling == "columns" else None)
    return np.asarray(deviation / reach)


def canonical_sign(setting: str, signs: Mapping[str, str], value: Any) -> str:
    """Return the name of one of ``signs``, given by its name or as it is, as ``setting`` has it.

    Raises
    ------
    ValueError
        It is none of them.

    Examples
    --------
    >>> canonical_sign("separator", SEPARATORS, ";"), canonical_sign("decimal", DECIMALS, "point")
    ('semicolon', 'point')
    """
    for name, sign in signs.items():
        if isinstance(value, str) and value in (name, sign):
            return name
    raise unknown(setting, value, signs)


def column_names(text: str) -> tuple[str, ...]:
    """Return the names in a list like ``width,length`` (a name with a comma is quoted).

    Raises
    ------
    ValueError
        An empty name, or one that occurs twice.

    Examples
    --------
    >>> column_names('width, "length, cm"')
    ('width', 'length, cm')
    """
    try:
        rows = csv.reader([text], strict=True, skipinitialspace=True)
        names = [name.strip() for row in rows for name in row]
    except csv.Error:
        names = [""]
    if "" in names or "\n" in text:
        raise InputError(f"columns is {text!r}; it must look like width,length")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"columns is {text!r}, which names {name} twice; name each once")
    return tuple(names)


def canonical_columns(names: str | Iterable[str]) -> str:
    """Return names, or a list of them as text, as the text that `column_names` reads; "" if none.

    Raises
    ------
    ValueError
        As `column_names`, or what is given is neither.

    Examples
    --------
    >>> canonical_columns(("width", "length, cm"))
    'width,"length, cm"'
    """
    if not isinstance(names, Iterable):
        raise InputError(f"columns is {names!r}; it must look like width,length")
    text = names if isinstance(names, str) else _joined(names)
    return _joined(column_names(text)) if text else ""


def _joined(names: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def _bytes_of(path: str) -> bytes:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not a file; give a CSV file")
        if status.st_size > MOST_BYTES:
            raise InputError(
                f"{path} has {status.st_size / 1e6:.0f} MB; files up to {MOST_BYTES / 1e6:.0f} MB "
                "are read: keep the columns and rows that are needed"
            )
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


Cell = tuple[float, str]
"""A number, and how the file writes it, with a decimal point."""


def _rows(
    path: str, text: str, names: tuple[str, ...], separator: str, decimal: str
) -> list[list[Cell]]:
    lines: Iterable[str] = io.StringIO(text, newline="")
    blank = separator == "space"
    if blank:
        lines = (f"{' '.join(line.split())}\n" for line in lines)
    sign = SEPARATORS[separator]
    reader = csv.reader(lines, delimiter=sign, strict=True, skipinitialspace=not blank)
    filled = filter(None, reader)
    rows, comments = [], []
    try:
        header = [re.sub(r"\s*[\r\n]\s*", " ", cell.strip()) for cell in next(filled, [])]
        if not header:
            raise InputError(f"{path} is empty; its first line must name the columns")
        # If columns are called by numbers, another one must have a name that says that this is
        # the header: without digits, and none of that column's cells.
        numbered = any(map(_like_number, names))
        words = {c: cell for c, cell in enumerate(header) if numbered and re.match(r"\D+$", cell)}
        if all(map(_like_number, filter(None, header))):
            raise _headless(path, header)
        columns = [_column(path, header, name) for name in names]
        for cells in filled:
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(header):
                raise InputError(
                    f"{where} has {len(cells)} cells; the first line names {len(header)} columns"
                )
            if cells[0].lstrip().startswith("#"):
                comments.append(f"{where} begins with '#'; comments are not read: drop the line")
            rows.append([_number(where, header[c], cells[c], decimal) for c in columns])
            words = {c: word for c, word in words.items() if cells[c].strip() != word}
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num} is not CSV: {error}") from None
    if numbered and not words:
        raise _headless(path, header)
    if 0 < len(comments) < len(rows):
        raise InputError(comments[0])
    return rows


def _headless(path: str, header: list[str]) -> InputError:
    shown = ", ".join(header[:3]) + ", ..." * (len(header) > 3)
    return InputError(
        f"{path} begins with numbers ({shown}); its first line must name the columns: put a line "
        "of names above, or rename columns that are called 2019 and the like"
    )


def _advise(path: str, text: str, names: tuple[str, ...], separator: str, decimal: str) -> None:
    """Raise `InputError` that names how the beginning of a file can be read, if it can at all."""
    head = text if len(text) < 100_000 else text[: text.rfind("\n", 0, 100_000) + 1]
    first = "".join(head.strip().splitlines(keepends=True)[:1])
    decimals = DECIMALS if decimal == "point" else ("comma",)  # 1.234 may mean thousands there
    ways = [(head, *way) for way in itertools.product(decimals, SEPARATORS)]
    # If some cell cannot be read in any way, what separates the names is worth saying, too.
    ways += [(first, decimal, separator), *((first, decimal, name) for name in SEPARATORS)]
    for part, point, name in ways:
        given = (name, point) == (separator, decimal)
        if (given and part is head) or (name, point) == ("comma", "comma"):
            continue
        try:
            rows = _rows(path, part, names, name, point)
        except InputError:
            continue
        if given:
            return
        cells = [cell for row in rows for _, cell in row if "." in cell]
        if point != decimal and all(re.fullmatch(r"[+-]?\d{1,3}\.\d{3}", cell) for cell in cells):
            continue  # these may be thousands as well
        word = f"{name}s" if name != "space" else "blanks"
        commas = "" if point == "point" else " and has decimal commas"
        give = f"separator={name}" + (f" decimal={point}" if point == "comma" else "")
        raise InputError(
            f"{path} seems to be separated by {word}{commas}; save it with commas"
            f"{' and decimal points' if commas else ''}, or give {give}"
        ) from None


def _column(path: str, header: list[str], name: str) -> int:
    """Return where the column ``name`` stands."""
    if name not in header:
        if header[0].startswith(("#", "%", "sep=")):
            raise InputError(
                f"{path} begins with {header[0]!r}; its first line must name the columns: drop "
                "what is no name"
            )
        raise unknown(f"column of {path}", name, header)
    if header.count(name) > 1:
        raise InputError(f"{path} has {header.count(name)} columns {name!r}; rename all but one")
    return header.index(name)


def _like_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _number(where: str, name: str, cell: str, decimal: str) -> Cell:
    text = cell.strip()
    if decimal == "comma" and "." not in text:
        text = text.replace(",", ".")
    elif decimal == "comma":
        text = ""
    try:
        number = float(text)
        if math.isfinite(number) and "_" not in cell:
            return number, text
    except ValueError:
        pass
    shown = cell if len(cell) <= 30 else f"{cell[:30]}..."
    mend = "mend or drop the row"
    if decimal == "comma":
        mend = "with a decimal comma, and nothing between thousands"
    elif "," in cell:
        mend = "drop commas between thousands, or give decimal=comma"
    raise InputError(f"{where}, column {name!r} is {shown!r}; it must be a finite number: {mend}")


def _exact(cell: str) -> Decimal | str:
    try:
        return Decimal(cell)
    except InvalidOperation:  # an exponent beyond all limits; the text stands for itself
        return cell


def _check_column(name: str, column: Array, cells: Sequence[str]) -> None:
    """Raise `InputError` if doubles do not hold what a column's cells say, or some say nothing."""
    offset = "subtract an offset, such as its first value, from the column and save that"
    for row in np.flatnonzero(np.abs(column) >= 2.0**53).tolist():
        whole = re.fullmatch(r"[+-]?\d+(\.0*)?", cells[row])
        if whole and Decimal(cells[row]) != Decimal(column[row]):
            raise InputError(
                f"{name} has {cells[row][:30]}, a whole number that doubles, which hold all up to "
                f"2**53, do not hold; {offset}"
            )
    told_apart, written = len(set(column.tolist())), set(cells)
    if len(written) > told_apart:
        meant = len(set(map(_exact, written)))
        if meant > told_apart:
            raise InputError(
                f"{name} has {meant} different values, of which doubles tell {told_apart} apart; "
                f"{offset}"
            )
    marks = sorted(filter(SENTINEL.fullmatch, written), reverse=True)  # of equal ones, the shortest
    suspects = {float(cell): cell for cell in marks}
    others = column[~np.isin(column, list(suspects))]
    for value, cell in suspects.items() if len(others) > 1 else ():
        low, high = others.min(), others.max()
        # A distance to the others above their own range; of 99 and the like, ten times that.
        if max(low - value, value - high) > (high - low) * (10 if abs(value) < 100 else 1):
            raise InputError(
                f"{name} is {cell} in {(column == value).sum()} of {len(column)} rows, the others "
                f"are from {low:g} to {high:g}: is it a missing value? Drop these rows; if it was "
                f"measured, write it as {Decimal(cell).normalize():e}"
            )
