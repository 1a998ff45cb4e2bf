"""Files that are whole or not there: a full disk or a killed run leaves the old file or none, never a half one.

The one way to write what a user asked for. The folder may be one that others can write to: nothing is written through a
link, and no name can be foreseen.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/")
"""Links by which the system names open files; `>(…)` of a shell is one."""


@contextmanager
def whole_file(path: Path, *, private: bool = False, replace: bool = True) -> Iterator[BinaryIO]:
    """Write, and read back, a new file that takes the place of `path` when the block ends well.

    Missing folders are made. A file that is replaced keeps its permissions; a device or a pipe is written to directly.
    private: only the owner may read it; replace: whether it may take the place of another
    Raises OSError, also for a symbolic link, a folder, and what belongs to another user and is no file.
    """
    if is_stream(path):
        with open(_open_stream(path), "wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = _former_mode(path, replace)
    temporary = path.with_name(f".kspec-{os.urandom(8).hex()}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600 if private else 0o666)
    try:
        with open(descriptor, "w+b") as file:
            if mode is not None and not private:
                os.fchmod(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike a rename, not over what has come there meanwhile
            temporary.unlink()
    except BaseException:
        # Also on Ctrl-C: nothing half-written stays behind.
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes, *, private: bool = False, replace: bool = True) -> None:
    """The same for content that is at hand."""
    with whole_file(path, private=private, replace=replace) as file:
        file.write(content)


def read_bounded(path: str | Path, most: int) -> bytes:
    """All of a file or pipe; "-" is standard input. most: bytes.

    Raises OSError, also for more than that, and for a device, of which there is no end.
    """
    if str(path) == "-":
        return _at_most(sys.stdin.buffer, most, "standard input")
    with open(path, "rb") as file:
        found = os.fstat(file.fileno())
        if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            raise OSError(errno.EINVAL, "it is a device", os.fspath(path))
        if found.st_size > most:
            raise _too_large(most, os.fspath(path))
        return _at_most(file, most, os.fspath(path))


def open_named(path: str | Path) -> BinaryIO:
    """What another file names, or what is found in a folder, to be read: a file, and nothing that has no end in time.

    Raises OSError, also for a pipe, a device and a folder.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _at_most(file: BinaryIO, most: int, name: str) -> bytes:
    content = file.read(most + 1)
    if len(content) > most:
        raise _too_large(most, name)
    return content


def _too_large(most: int, name: str) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB", name)


def open_to_append(path: str) -> int:
    """A descriptor of a file, pipe or device that is appended to. A new file is private.

    Raises OSError as `whole_file`, and for a pipe that nobody reads, instead of waiting for a reader.
    """
    if is_stream(Path(path)):
        descriptor = _open_stream(Path(path), os.O_NONBLOCK)
    else:
        refuse_link(Path(path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o600)
    os.set_blocking(descriptor, True)
    return descriptor


def is_stream(path: Path) -> bool:
    """A device, pipe or socket, which cannot be replaced (/dev/stdout, /dev/null, `>(…)`). Raises OSError."""
    if os.path.abspath(path).startswith(_STREAMS):
        return True
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def refuse_link(path: Path) -> None:
    """Raises OSError for a symbolic link, the target of which whoever made it chose."""
    if os.path.islink(path):
        raise OSError(errno.ELOOP, "it is a symbolic link: name the file itself", os.fspath(path))


def _former_mode(path: Path, replace: bool) -> int | None:
    """The permissions of the file that will be replaced, where it is ours."""
    try:
        former = os.lstat(path)
    except FileNotFoundError:
        return None
    refuse_link(path)
    if stat.S_ISDIR(former.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(former.st_mode):
        raise OSError(errno.EINVAL, "it is not a file", os.fspath(path))
    if not replace:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(path))
    return stat.S_IMODE(former.st_mode) if former.st_uid == os.geteuid() else None


def _open_stream(path: Path, flags: int = 0) -> int:
    flags |= os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    if not os.path.abspath(path).startswith(_STREAMS):
        flags |= os.O_NOFOLLOW
        there = os.lstat(path)
        if stat.S_ISFIFO(there.st_mode) and there.st_uid != os.geteuid():
            raise PermissionError(errno.EACCES, "the pipe belongs to another user", os.fspath(path))
    return os.open(path, flags)


def write_all(stream: BinaryIO, content: bytes) -> None:
    """Write all of it to a stream, and flush. Raises OSError.

    Where Python's output is not buffered (`PYTHONUNBUFFERED`, usual in containers), a write may write a part and say so
    only by its result: a full disk would cut a report in silence.
    """
    left = memoryview(content)
    while left:
        left = left[stream.write(left) or 0 :]
    stream.flush()
