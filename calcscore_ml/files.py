"""Writing files whole or not at all.

A file is written beside its target under a temporary name, flushed to disk and renamed. Whoever reads the target sees
the old file, the new file or none, never half of one.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calcscore_ml.errors import ResultError

DISK_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
)
"""System errors that mean "the disk would not take it": full, over quota, too large, broken, read-only, not allowed."""


@contextmanager
def write_beside(path: Path | str, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path in the target's folder and rename it to the target when the block ends well.

    Missing parent folders are made. The temporary name starts with a dot and ends as the target does, so that writers
    that look at the ending (``.nii.gz``) see the right one.

    Parameters
    ----------
    path : path
        The file to write.
    overwrite : bool
        Replace an existing file. Otherwise an existing file is an error.

    Yields
    ------
    Path
        Where to write. Nothing is left there when the block fails.

    Raises
    ------
    ResultError
        When the target exists and `overwrite` is false, or the disk does not take the file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with write_beside(folder / "score.txt") as beside:
    ...     _ = beside.write_text("412")
    >>> [p.name for p in folder.iterdir()], (folder / "score.txt").read_text()
    (['score.txt'], '412')
    """
    target = Path(path)
    with _beside(target, overwrite) as beside:
        yield beside
        _sync(beside)


@contextmanager
def write_folder_beside(path: Path | str) -> Iterator[Path]:
    """Give a temporary folder beside the target and rename it when the block ends well; see `write_beside`.

    An existing target is always an error, unless it is an empty folder.
    """
    target = Path(path)
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    with _beside(target, overwrite=False) as beside:
        beside.mkdir()
        yield beside
        for file in beside.rglob("*"):
            _sync(file)


def write_text(path: Path | str, text: str, overwrite: bool = False) -> Path:
    """Write a text file in UTF-8, line ends as they are, whole or not at all; return its path."""
    return write_bytes(path, text.encode("utf-8"), overwrite)


def write_bytes(path: Path | str, content: bytes, overwrite: bool = False) -> Path:
    """Write a binary file whole or not at all; return its path."""
    with write_beside(path, overwrite) as beside:
        beside.write_bytes(content)
    return Path(path)


@contextmanager
def _beside(target: Path, overwrite: bool) -> Iterator[Path]:
    _refuse_existing(target, overwrite)
    beside = target.with_name(f".{secrets.token_hex(4)}.part.{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        _refuse_existing(target, overwrite)
        beside.replace(target)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        reason = os.strerror(error.errno or 0).lower()
        raise ResultError(
            f"a result must be written whole, but the disk did not take {target.name} ({reason}); nothing was left "
            "behind, make room or choose another folder and run again"
        ) from error
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)
    _sync(target.parent)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if not overwrite and (target.exists() or target.is_symlink()):
        raise ResultError(
            f"an existing result is kept, but {target.name} is there already; choose another name or ask for "
            "overwriting"
        )


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        return  # Windows does not open folders
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
