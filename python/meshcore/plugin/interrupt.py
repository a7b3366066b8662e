"""Ends a hook that does not end by itself. Imported when the first one must be."""

import ctypes


class HookOverrun(BaseException):
    """Raised inside a hook that ran far past its timeout.

    Not an `Exception`: a hook that catches those would otherwise go on.
    """


def interrupt(thread: int) -> bool:
    """Raises `HookOverrun` in a thread at its next line of Python; whether there is such one.

    Source: CPython's `PyThreadState_SetAsyncExc`.
    """
    return _set(thread, ctypes.py_object(HookOverrun)) == 1


def forgive(thread: int) -> None:
    """Takes back an exception that a thread has not been raised yet."""
    _set(thread, None)


def _set(thread: int, exception: object) -> int:
    return int(ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception))
