"""Files that are kept compressed: where ``NAME`` is not there, ``NAME.gz`` stands for it.

A packed store is read as it is, and unpacked when more is to be written into it.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from pathlib import Path

from mlpspec.errors import InputError


def packed(path: Path) -> Path | None:
    """Return the packed form of a file; None if the file itself is there, or neither is.

    Examples
    --------
    >>> print(packed(Path("there", "is", "nothing.csv")))
    None
    """
    form = path.with_name(f"{path.name}.gz")
    return form if not os.path.lexists(path) and form.is_file() else None


def exists(path: Path) -> bool:
    """Return whether a file is there, packed or not.

    Examples
    --------
    >>> exists(Path("there", "is", "nothing.csv"))
    False
    """
    return path.exists() or packed(path) is not None


def content(path: Path) -> bytes:
    """Return the bytes of a file, packed or not.

    Raises
    ------
    InputError
        The packed form is damaged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv.gz").write_bytes(gzip.compress(b"n,error"))
    ...     content(Path(folder, "a.csv"))
    b'n,error'
    """
    form = packed(path)
    if form is None:
        return path.read_bytes()
    try:
        return gzip.decompress(form.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        rest = ""
        if path.suffix == ".sqlite":
            rest = f", or save what is intact: mlpspec recover {path.parent} --out NEW"
        raise InputError(f"{form} is damaged ({error}); use another copy of it{rest}") from None


def intact_part(form: Path) -> bytes:
    """Return what can be had of a packed file, which may be damaged, from its beginning on.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     form = Path(folder, "a.csv.gz")
    ...     _ = form.write_bytes(gzip.compress(b"n,error")[:-8])
    ...     intact_part(form)
    b'n,error'
    """
    stream, raw, found = zlib.decompressobj(zlib.MAX_WBITS + 16), form.read_bytes(), b""
    with contextlib.suppress(zlib.error):
        for start in range(0, len(raw), 64):
            found += stream.decompress(raw[start : start + 64])
    return found


def unpack(path: Path) -> None:
    """Put a file in the place of its packed form; at every moment one of the two is whole.

    Raises
    ------
    InputError
        The packed form is damaged, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv.gz").write_bytes(gzip.compress(b"n,error"))
    ...     unpack(Path(folder, "a.csv"))
    ...     os.listdir(folder)
    ['a.csv']
    """
    whole, draft = content(path), path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        path.with_name(f"{path.name}.gz").unlink()
    except OSError as error:
        raise InputError(f"cannot write to {path.parent}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
