"""How messages quote, list and count things and put times."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Sequence


def printable(text: str) -> str:
    """`text` on one line: quoted and escaped when it holds newlines or anything else that does not print."""
    return text if text.isprintable() else ascii(text)


def reason(error: BaseException) -> str:
    """An error's own words on one line, without the path that the message begins with already."""
    text = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return printable(" ".join(text.split())[:200])


def first_line(error: BaseException) -> str:
    """The same of an error that says more than anybody wants to read, as compilers do."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def some(names: Sequence[str], most: int = 8) -> str:
    """A list for a message: the first few names, and how many more."""
    shown = ", ".join(printable(name if len(name) <= 60 else f"{name[:60]}…") for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def meant(name: str, known: Iterable[str], expected: Iterable[str] | None = None, before: str = "") -> str:
    """ "did you mean 'width'?", where one of `known` is near, with `before` before it; else all that is `expected`."""
    near = difflib.get_close_matches(name, known := list(known), 1)
    return f"did you mean {before + near[0]!r}?" if near else f"expected one of {', '.join(expected or known)}"


def count(number: int, what: str) -> str:
    """3, "problem" → "3 problems"; 1 → "1 problem"; what ends in s takes es, so "class" may be counted."""
    ending = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{ending}"


def memory_text(size: float) -> str:
    """5.3e9 → "5.3 GB", 2e7 → "20 MB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """75 → "1m15s"; 8 → "8s"; 4000 → "1h06m"; 200000 → "2d7h"."""
    s = round(seconds)
    if s < 60:
        return f"{s}s"
    if s < 3600:
        return f"{s // 60}m{s % 60:02d}s"
    return f"{s // 3600}h{s % 3600 // 60:02d}m" if s < 2 * 86400 else f"{s // 86400}d{s % 86400 // 3600}h"


def until(seconds: float) -> str:
    """ "until 15:42", so many seconds from now, with the day where it is another."""
    now, end = time.localtime(), time.localtime(time.time() + seconds)
    return time.strftime("until %H:%M" if end[:3] == now[:3] else "until %a %d %b %H:%M", end)
