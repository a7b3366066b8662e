"""Metrics of this process, without a library."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH123, PTH208

import os
import resource
from collections.abc import Iterator

# Position of fields of /proc/self/stat after the name in brackets. Source: proc(5).
_UTIME, _STIME, _START, _VSIZE, _RSS = 11, 12, 19, 20, 21

# Source: Prometheus' guide to writing client libraries, "Process metrics".
_FAMILIES = (
    ("process_cpu_seconds_total", "counter", "Time on processors in seconds."),
    ("process_start_time_seconds", "gauge", "When it started, in unix seconds."),
    ("process_virtual_memory_bytes", "gauge", "Size of its address space."),
    ("process_resident_memory_bytes", "gauge", "Memory that it has."),
    ("process_open_fds", "gauge", "File descriptors that are open."),
    ("process_max_fds", "gauge", "File descriptors that may be open."),
)


def exposition() -> str:
    """Returns them in Prometheus' text format; nothing where there is no /proc."""
    try:
        values = list(_values())
    except (OSError, ValueError, IndexError, StopIteration):
        return ""
    return "".join(
        f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {value}\n"
        for (name, kind, text), value in zip(_FAMILIES, values, strict=True)
    )


def _values() -> Iterator[float]:
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    yield (int(fields[_UTIME]) + int(fields[_STIME])) / ticks
    yield _boot_seconds() + int(fields[_START]) / ticks
    yield int(fields[_VSIZE])
    yield int(fields[_RSS]) * os.sysconf("SC_PAGE_SIZE")
    yield len(os.listdir("/proc/self/fd")) - 1  # without the one that lists
    yield resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _boot_seconds() -> int:
    with open("/proc/stat", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"btime "))
