"""What a person sees: progress with rates and time left, tables, messages. Figures for programs go to --json."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vitascope.cli.plain import as_shown, is_plain
from vitascope.training.observer import Observer
from vitascope.wording import duration, until

if TYPE_CHECKING:
    from rich.console import Console as Rich
    from rich.progress import Progress

_FIRST = 1.0
"""Seconds before the first of them: what is done by then needs none."""
_PLAIN_INTERVAL = (5.0, 60.0)
"""Seconds between progress lines where the output is not a terminal: at first, and in a job of hours."""


_ENDLESS = 100_000
"""Columns, for who has none."""


class Console:
    """Tables on standard output, everything else on standard error; with `json_only` no tables at all.

    Of the processes that `torchrun` starts only the first speaks.
    """

    def __init__(self, json_only: bool = False) -> None:
        self.json_only = json_only
        self.begun = time.monotonic()
        self.silent = os.environ.get("RANK", "0") != "0"
        self._progress: Progress | None = None

    @cached_property
    def out(self) -> Rich:
        """Standard output."""
        from rich.console import Console as Rich

        return Rich(quiet=self.json_only or self.silent, highlight=False, width=self.width or _ENDLESS)

    @property
    def width(self) -> int | None:
        """Columns of standard output, as COLUMNS or the terminal says; piped, None: a line is as long as it needs."""
        known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
        return shutil.get_terminal_size().columns if known else None

    @cached_property
    def err(self) -> Rich:
        """Standard error."""
        from rich.console import Console as Rich

        return Rich(stderr=True, quiet=self.silent, highlight=False, soft_wrap=not sys.stderr.isatty())

    def start(self, verbose: bool) -> None:
        """Lets the library's log messages appear on standard error."""
        handler = _Handler(self)
        handler.setFormatter(logging.Formatter("%(message)s"))
        root = logging.getLogger("vitascope")
        root.handlers[:] = [handler]
        root.setLevel(logging.DEBUG if verbose else logging.INFO)

    def stop(self) -> None:
        """Ends a progress bar that is still shown."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def say(self, text: str) -> None:
        """A message for the person, on standard error."""
        self.err.print(text, markup=False)

    def tell(self, text: str) -> None:
        """A line of a result, on standard output."""
        self.stop()
        self.out.print(as_shown(text), markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A table on standard output; columns of numbers are aligned right."""
        from vitascope.cli.tables import table

        texts = [[value if isinstance(value, str) else f"{value:,}" for value in row] for row in rows]
        shown = [[as_shown(text) for text in row] for row in [columns, *texts]]
        drawn = table(shown[0], shown[1:], self.width, plain=is_plain(sys.stdout))
        self.title(title)
        self.out.print(drawn)

    def title(self, text: str) -> None:
        """What stands above a table, on standard output."""
        from rich.markup import escape

        self.stop()  # a bar that is still drawn would share its line with it
        self.out.print(f"[bold]{escape(as_shown(text))}[/]")

    def progress(self) -> Progress:
        """The one progress bar of this console, for terminals."""
        if self._progress is None:
            from rich.progress import BarColumn, Progress, TextColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.completed:.0f}/{task.total:.0f}{task.fields[note]}"),
                console=self.err,
                transient=True,
            )
            self._progress.start()
        return self._progress

    def counter(self, what: str) -> Counter:
        """Progress of something counted: `counter(done, total)`."""
        return Counter(self, what)

    def observer(self, what: str, evaluations: bool = True) -> RunObserver:
        """Progress of a run, for `train`; without `evaluations` their accuracies are not said."""
        return RunObserver(self, what, evaluations)


class Counter:
    """Shows `done` of `total` and when it ends: a bar on a terminal, otherwise a line now and then."""

    def __init__(self, console: Console, what: str) -> None:
        self.console, self.what = console, what
        self._task: Any = None
        self._said = 0.0
        self._first: tuple[int, float] | None = None  # a resumed run begins in the middle

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if self.console.silent:
            return
        now = time.monotonic()
        if self._first is None:
            self._first, self._said = (done, now), now + _FIRST - _PLAIN_INTERVAL[0]
        first, begun = self._first
        note = f"  {note}" if note else ""
        if first < done < total:
            left = (now - begun) / (done - first) * (total - done)
            note += f"  {duration(left)} left, {until(left)}"
        if self.console.err.is_terminal:
            self._draw(done, total, note)
        elif now - self._said >= min(max(_PLAIN_INTERVAL[0], (now - begun) / 20), _PLAIN_INTERVAL[1]):
            self._said = now
            self.console.say(f"{self.what}: {done}/{total}{note}")

    def _draw(self, done: int, total: int, note: str) -> None:
        bar = self.console.progress()
        if self._task not in bar.task_ids:
            self._task = bar.add_task(self.what, total=total, note=note)
        bar.update(self._task, completed=done, note=note)
        if done >= total:
            bar.remove_task(self._task)
            if not bar.task_ids:
                self.console.stop()


class RunObserver(Observer):
    """Shows the loss, the rate and when a run ends; see `Observer`."""

    def __init__(self, console: Console, what: str, evaluations: bool) -> None:
        self.console, self.evaluations = console, evaluations
        self._steps = console.counter(what)
        self._others: dict[str, Counter] = {}

    def begun(self, step: int, steps: int) -> None:
        """Before the first step, which may take long."""
        self._steps(step, steps)
        if not self.console.err.is_terminal:
            self.console.say(f"{self._steps.what}: {step}/{steps}")

    def stepped(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """After each step."""
        self._steps(step, steps, f"loss {loss:.3f}  {images_per_second:.0f} images/s")

    def counted(self, what: str, done: int, total: int) -> None:
        """While images are read or evaluated."""
        self._others.setdefault(what, self.console.counter(what))(done, total)
        if done >= total:
            del self._others[what]

    def evaluated(self, step: int, summary: dict[str, float | int]) -> None:
        """After each evaluation."""
        if self.evaluations:
            from vitascope.evaluation.interval import figures

            said = ", ".join(f"{name} {text}" for name, text in figures(summary).items())
            self.console.say(f"step {step}: validation {said}")


class _Handler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        self.console.say(prefix + self.format(record))
