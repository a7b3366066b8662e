"""Files that are there whole, or not at all."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH105, PTH108

import contextlib
import os


def write(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replaces the file at `path` in one step, and brings it to the disk before.

    Raises:
        OSError: It cannot be written; the file of before stays.
    """
    beside = f"{path}.{os.getpid()}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)  # of a process that had this number, or a trap
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(beside, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
