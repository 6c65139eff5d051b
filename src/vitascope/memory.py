"""Memory that this process may take: the machine's, or its container's where that has a limit."""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc/meminfo")


def total_memory() -> float:
    """Bytes in all; infinite where none says."""
    total = math.inf
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # versions 2 and 1
        with suppress(OSError, ValueError):  # no limit is the word "max"
            total = min(total, int((_CGROUP / name).read_text()))
    return total


def free_memory() -> float:
    """Bytes that can be taken now; infinite where none says."""
    free = math.inf
    with suppress(OSError):  # no /proc outside Linux
        found = re.search(r"^MemAvailable:\s*(\d+) kB$", _PROC.read_text(), re.MULTILINE)
        free = int(found[1]) * 1024 if found else math.inf
    with suppress(OSError, ValueError):
        limit, taken = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = re.search(r"^inactive_file (\d+)$", (_CGROUP / "memory.stat").read_text(), re.MULTILINE)
        free = min(free, max(limit - taken + (int(cached[1]) if cached else 0), 0))
    return free
