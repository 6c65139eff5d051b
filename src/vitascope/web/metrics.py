"""Figures of a server for Prometheus: what came, how long it took, how full batches and queue are.

The text format, version 0.0.4; names begin with `vitascope_`. Whoever adds a label sees to it that clients cannot make
more and more values of it.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_METHODS = {"GET", "HEAD", "POST", "DELETE"}

Labels = Mapping[str, str]


class Histogram:
    """Counts of what was not above each of some bounds, and beyond them; and the sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Counts one."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: Labels) -> Iterator[str]:
        """As Prometheus reads it."""
        counts = [*accumulate(self._counts)]  # of one moment, whoever adds meanwhile
        for bound, count in zip((*map(_number, self._bounds), "+Inf"), counts, strict=True):
            yield _line(f"{name}_bucket", {**labels, "le": bound}, count)
        yield _line(f"{name}_sum", labels, self._sum)
        yield _line(f"{name}_count", labels, counts[-1])


class Metrics:
    """Of one server, from its start; `most` images share a forward pass."""

    def __init__(self, most: int) -> None:
        self._requests: dict[tuple[str, str, str], int] = {}
        self._seconds: dict[str, Histogram] = {}
        self._batches = Histogram([2**n for n in range(most.bit_length()) if 2**n < most] + [most])
        self._passes = Histogram(_SECONDS)
        self._failed = 0
        self._began = time.time()

    def request(self, method: str, address: str, status: int, seconds: float) -> None:
        """One that is over: `address` as its template, 499 where the client left before the answer."""
        key = method if method in _METHODS else "other", address, str(status)
        self._requests[key] = self._requests.get(key, 0) + 1
        self._seconds.setdefault(address, Histogram(_SECONDS)).add(seconds)

    def forward(self, images: int, seconds: float, *, failed: bool) -> None:
        """One forward pass."""
        self._batches.add(images)
        self._passes.add(seconds)
        self._failed += failed

    def text(self, info: Labels, now: Mapping[str, tuple[str, float]]) -> str:
        """All of it; `info` is what is served, `now` by name what a figure means and its value."""
        requests = [
            _line("vitascope_requests_total", {"method": method, "address": address, "status": status}, count)
            for (method, address, status), count in sorted(self._requests.items())
        ]
        seconds = [
            line
            for address, of in sorted(self._seconds.items())
            for line in of.lines("vitascope_request_seconds", {"address": address})
        ]
        batches = self._batches.lines("vitascope_batch_images", {})
        passes = self._passes.lines("vitascope_forward_seconds", {})
        failed = _line("vitascope_forward_failures_total", {}, self._failed)
        parts = [
            _family("vitascope_info", "gauge", "What is served.", [_line("vitascope_info", info, 1)]),
            _family("vitascope_requests_total", "counter", "Over; 499: the client left before the answer.", requests),
            _family("vitascope_request_seconds", "histogram", "From its head to the end of its answer.", seconds),
            _family("vitascope_batch_images", "histogram", "Images that shared a forward pass.", batches),
            _family("vitascope_forward_seconds", "histogram", "Of a forward pass.", passes),
            _family("vitascope_forward_failures_total", "counter", "Forward passes that failed.", [failed]),
        ]
        now = {
            **now,
            "process_start_time_seconds": ("Since the epoch.", self._began),
            "process_cpu_seconds_total": ("Of the processor, all threads together.", time.process_time()),
        }
        for name, (what, value) in now.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            parts.append(_family(name, kind, what, [_line(name, {}, value)]))
        return "".join(parts)


def _family(name: str, kind: str, what: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# HELP {name} {what}", f"# TYPE {name} {kind}", *lines, ""])


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {_number(value)}" if inside else f"{name} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
