"""What a run tells whoever shows it; free of torch."""

from __future__ import annotations


class Observer:
    """Whoever shows how a run is going; this one says nothing."""

    def begun(self, step: int, steps: int) -> None:
        """Training starts, or goes on, with so many steps done."""

    def stepped(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        """A step is done; `loss` is this process's mean since the last line of the record."""

    def counted(self, what: str, done: int, total: int) -> None:
        """So many images are read, or evaluated."""

    def evaluated(self, step: int, summary: dict[str, float | int]) -> None:
        """The validation set has been counted."""
