"""The exception tree: every error says what was received, what was expected and what to do.

VitascopeError
├── UserError            the user can mend it: the command line prints one line and exits with 2
│   ├── ConfigError      arguments, recipes, model fields
│   ├── DataError        folders, parquet files, splits, labels
│   │   ├── UnlabelledError  images that nobody labelled, where labels are needed
│   │   └── ImageError   one image that cannot be read or is refused
│   ├── CheckpointError  weights and what travels with them
│   └── OutputError      nothing can or may be written there; both a ConfigError and a CheckpointError
├── ExportError          what was exported does not compute what the model does
├── DivergedError        training met a loss that is not finite
├── PeerError            another of several processes died
└── Stopped              training was asked to stop by a signal and has saved
"""

from __future__ import annotations

import signal

_LONGEST = 500
"""Characters of a message, of which paths may take half."""


class VitascopeError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(VitascopeError):
    """Something the user can mend; its text is one line: received, expected, remedy.

    What was received may be of any length: the middle of a long text is left out.
    """

    def __str__(self) -> str:
        text = " ".join(super().__str__().split())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"

    told_by_first = False
    """Whether all of several processes raise it, so that one need not tell it."""


class ConfigError(UserError):
    """A setting is unknown, of the wrong kind or contradicts another."""


class DataError(UserError):
    """A data source cannot be opened, or holds what it should not."""


class UnlabelledError(DataError):
    """There are images, but no labels, which what was asked for needs."""

    def __str__(self) -> str:
        return f"{super().__str__()} (`pretrain --objective masked` needs no labels)"


class ImageError(DataError):
    """One image cannot be decoded or is refused (format, size, truncation)."""


class CheckpointError(UserError):
    """A checkpoint cannot be recognised, trusted or matched to a model."""


class OutputError(ConfigError, CheckpointError):
    """A place cannot be written, or holds what must not be lost."""


class ExportError(VitascopeError):
    """An export could not be made, or disagrees with the model; nothing of it is kept."""


class PeerError(VitascopeError):
    """One of the processes that train together died or cannot be reached."""


class DivergedError(VitascopeError):
    """The loss stopped being finite; the last good checkpoint is kept."""


class Stopped(VitascopeError):
    """A signal asked training to stop; everything needed to resume has been saved."""

    def __init__(self, signal_number: int, message: str, remedy: str = "go on with --resume") -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.remedy = remedy

    @property
    def exit_code(self) -> int:
        """128 + signal number: 143 for SIGTERM, 130 for Ctrl-C."""
        return 128 + int(self.signal_number)

    @property
    def signal_name(self) -> str:
        """For messages: "SIGTERM"."""
        return signal.Signals(self.signal_number).name
