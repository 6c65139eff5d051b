"""Letters for terminals that have ASCII alone: what stands for the others; nothing fails for want of one."""

from __future__ import annotations

import codecs
import os
import sys
from io import TextIOWrapper

_PLAIN = {
    "…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "±": "+/-", "→": "->", "←": "<-", "·": "*", "½": "0.5",
    "≥": ">=", "≤": "<=", "≈": "~", "√": "sqrt", "λ": "lambda", "α": "alpha", "β": "beta", "σ": "sigma", "µ": "u",
    "⁰": "^0", "¹": "^1", "²": "^2", "³": "^3", "°": " degrees", "§": "section ", "“": '"', "”": '"', "’": "'",
    "‘": "'", "│": "|", "├": "|", "└": "`", "─": "-", "━": "-", "█": "#", "╸": "-", "╺": "-", "•": "*", "\xa0": " ",
}  # fmt: skip
_HANDLER = "vitascope-plain"


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letter = error.object[error.start]
    return _PLAIN.get(letter) or ascii(letter)[1:-1], error.start + 1


codecs.register_error(_HANDLER, _stand_in)


def prepare(*streams: object) -> None:
    """Lets streams of text write what their encoding has, and a stand-in for what it has not.

    LC_ALL=C is ASCII, although Python takes it for UTF-8.
    """
    c_locale = os.environ.get("LC_ALL") in ("C", "POSIX") and not {"PYTHONIOENCODING", "PYTHONUTF8"} & os.environ.keys()
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="ascii" if c_locale else None, errors=_HANDLER)


def is_plain(stream: object) -> bool:
    """Whether a stream has ASCII alone, or another of the small sets of letters."""
    return not (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def as_shown(text: str) -> str:
    """A text with the letters that will be seen on standard output, so that its width is known."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, _HANDLER).decode(encoding)
