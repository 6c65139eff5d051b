"""Lessons in progress: what each person has taught so far, apart from all others, bounded and forgotten when idle.

Free of torch: what is known of photographs comes from `teacher.py` and is only handed on here.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from vitascope.web.errors import Refusal
from vitascope.web.settings import ServeSettings

if TYPE_CHECKING:
    from vitascope.teaching.known import Known
    from vitascope.teaching.lesson import Lesson
    from vitascope.web.teacher import Photo

_EACH, _STATE = 400, 4000
"""Bytes of an image beside its features and picture, and of a state: names, numbers, Python's own."""
_NOW_AND_THEN = 30.0
"""Seconds between looks at which sessions are idle."""


class Session:
    """What one person taught; `version` counts its states, so that a change is never made to another than was seen."""

    def __init__(self, id: str, known: Known, limit: int) -> None:
        self.id = id
        self.known = known
        self.photos: dict[int, Photo] = {}
        """By mark; of images that came with a run there is none."""
        self.version = 0
        self.lesson: Lesson | None = None
        """Of this version, once it was asked for."""
        self.turn = asyncio.Lock()
        """Whoever changes or solves has it."""
        self.used = time.monotonic()
        self._limit = limit
        self._before: list[tuple[Known, str]] = []
        self._step = ""

    @property
    def undoes(self) -> bool:
        """Whether there is a state to go back to."""
        return bool(self._before)

    def change(self, known: Known, step: str = "", photos: Iterable[Photo] = ()) -> None:
        """The next state; changes of one `step` in a row are undone together.

        What makes it too large, earlier states first, is forgotten; raises Refusal (413), unchanged, where the state
        itself is.
        """
        held = {**self.photos, **{photo.mark: photo for photo in photos}}
        before = self._before if step and step == self._step else [*self._before, (self.known, self._step)]
        while before and self._size([known, *(state for state, _ in before)], held) > self._limit:
            before = before[1:]
        if self._size([known], held) > self._limit:
            told = f"{len(known):,} photographs take more than the {self._limit / 2**20:,.0f} MiB that are yours here"
            raise Refusal(413, f"{told}; save what there is, and go on with `vitascope teach`")
        self._before, self.photos = before, held
        self._become(known, step)

    def undo(self) -> None:
        """Back to the state before the last step; raises Refusal (409) where there is none."""
        if not self._before:
            raise Refusal(409, "there is nothing to undo")
        *self._before, (known, step) = self._before
        self._become(known, step)

    @property
    def nbytes(self) -> int:
        """Memory of all its states."""
        return self._size([self.known, *(state for state, _ in self._before)], self.photos)

    def _become(self, known: Known, step: str) -> None:
        self.known, self._step, self.lesson = known, step, None
        self.version += 1
        marks = {int(mark) for state, _ in [(known, ""), *self._before] for mark in state.marks}
        self.photos = {mark: photo for mark, photo in self.photos.items() if mark in marks}

    @staticmethod
    def _size(states: list[Known], photos: dict[int, Photo]) -> int:
        features = {id(state.features): state.features.nbytes for state in states}  # states may share them
        of_states = sum(_STATE + _EACH * len(state) for state in states)
        return sum(features.values()) + of_states + sum(photo.nbytes for photo in photos.values())


class Sessions:
    """At most `settings.sessions`, found by ids that nobody guesses."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._held: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._held)

    def begin(self, known: Callable[[], Known]) -> Session:
        """A new one; raises Refusal (503) where all places are taken by people who taught something lately."""
        self.forget_idle()
        if len(self._held) >= self._settings.sessions:
            unused = [session for session in self._held.values() if session.version == 0]
            if not unused:
                raise Refusal(503, f"{len(self._held)} people teach here already; try again later")
            del self._held[min(unused, key=lambda session: session.used).id]
        session = Session(secrets.token_urlsafe(18), known(), self._settings.session_bytes)
        self._held[session.id] = session
        return session

    def get(self, id: str) -> Session:
        """The one of this id, which is idle no more; raises Refusal (404)."""
        self.forget_idle()
        session = self._held.get(id)
        if session is None:
            raise Refusal(404, "what was taught here is no longer held; load the run that you saved, or begin anew")
        session.used = time.monotonic()
        return session

    def end(self, id: str) -> None:
        """Forgets it."""
        self._held.pop(id, None)

    def forget_idle(self) -> None:
        """Forgets those that were not asked for since `session_idle`."""
        late = time.monotonic() - self._settings.session_idle
        self._held = {id: session for id, session in self._held.items() if session.used > late}

    async def watch(self) -> None:
        """Forgets idle ones for ever; to be cancelled."""
        while True:
            await asyncio.sleep(min(_NOW_AND_THEN, self._settings.session_idle))
            self.forget_idle()
