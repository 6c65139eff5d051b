"""How a checkpoint is opened, and what is asked of it: options of the commands about one; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from vitascope.evaluation.shots import FewShot
from vitascope.fields import (
    CheckpointName,
    Count,
    DataName,
    FileName,
    FolderName,
    Range,
    check_fields,
    refuse_idle,
)
from vitascope.inference.engines.names import EngineName
from vitascope.teaching.settings import Teaching
from vitascope.training.train_settings import Precision


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A checkpoint, for images of a size."""

    checkpoint: str
    """A file, a folder or a run, in any format that loads, or a name (`vitascope models --starts`)."""
    image_size: int | tuple[int, int] | None = None
    """Side in pixels of the images the model sees, or [height, width]; none: as the checkpoint says."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where a model computes."""

    device: str | None = None
    """cpu, cuda, …; none: the GPU if there is one."""


@dataclass(frozen=True, kw_only=True)
class Stated(Opened):
    """A checkpoint, with what is stated of it in place of what its file says."""

    labels: FileName | None = None
    """File with the names of the classes in the order of the outputs, one a line or as JSON; none: as the checkpoint
    says."""
    mean: str | None = None
    """Mean of the channels in [0, 1], such as 0.5,0.5,0.5, or imagenet, which is --std too; none: as the checkpoint
    says."""
    std: str | None = None
    """Deviation of the channels, as --mean."""
    prior: str | None = None
    """How often classes occur where the model is used, such as {cat: 0.9, dog: 0.1}; none: as where it learned."""

    @property
    def stated(self) -> dict[str, Any]:
        """Keywords of `load` and `open_model`."""
        names = ("image_size", "labels", "mean", "std", "prior")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Applied(Stated, Placed):
    """A model applied to many images."""

    checkpoint: str
    """A file, a folder or a run, in any format that loads, a name (`models --starts`), or an exported folder."""
    batch: Count = 64
    """Images per forward pass."""
    engine: EngineName = "auto"
    """What computes; auto begins with eager and changes where that pays."""
    precision: Precision = "float32"
    """Format of the products; auto: whatever is faster here."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(Applied):
    """A checkpoint judged on a data set."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "split",
        "image_size",
        "labels",
        "prior",
        "report",
        "csv",
        "errors",
        "confusion",
        "batch",
        "engine",
        "device",
    )

    data: str
    """What to evaluate on (`vitascope data` lists the kinds)."""
    split: Literal["train", "validation", "test"] | None = None
    """What of DATA to evaluate on; none: test, else validation, else all."""
    workers: Annotated[int, Range(0)] = 0
    """Processes that read images besides this one."""
    on_error: Literal["raise", "skip"] = "raise"
    """Unreadable images: stop at the first, or leave them out and say how many."""
    report: FileName | None = None
    """Write a page that shows how good it is, and its mistakes as pictures, to this HTML file."""
    csv: FileName | None = None
    """Write what was said of each image to this new CSV file, the most confident mistakes first."""
    errors: FolderName | None = None
    """Write the mistakes as pictures to this new folder, one folder for each true class."""
    confusion: FileName | None = None
    """Write a picture of the confusion matrix to this PNG file."""


@dataclass(frozen=True, kw_only=True)
class Compare(Placed):
    """Checkpoints and runs judged on the same images."""

    FIRST: ClassVar[tuple[str, ...]] = ("engine", "batch", "device")

    runs: tuple[str, ...]
    """Two or more files, folders or runs, in any format that loads, or names; then perhaps the labelled images to judge
    them on (`vitascope data` lists the kinds): else those that all of them held out of what they learned from."""
    batch: Count = 64
    """Images per forward pass."""
    engine: EngineName = "auto"
    """What computes; auto begins with eager and changes where that pays."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class FewShotOf(FewShot, Opened, Placed):
    """A checkpoint's frozen features learned from a few images per class."""

    FIRST: ClassVar[tuple[str, ...]] = ("shots", "methods", "seeds", "test", "image_size", "device")

    checkpoint: str
    """A file, a folder or a run, in any format that loads, or a name; its head plays no part."""
    data: str
    """Where shots are drawn from, its train split (`vitascope data` lists the kinds)."""
    test: DataName | None = None
    """Other data of the same classes to be judged on; none: the test split of DATA."""
    batch: Count = 64
    """Images per forward pass."""
    workers: Annotated[int, Range(0)] = 0
    """Processes that read images besides this one."""

    def __post_init__(self) -> None:
        FewShot.__post_init__(self)
        Opened.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class Teach(Teaching, Opened, Placed):
    """A head in closed form on a checkpoint's frozen features, and what it knows of itself."""

    FIRST: ClassVar[tuple[str, ...]] = (
        "out", "group", "coverage", "balance", "forget", "image_size", "overwrite", "device",
    )  # fmt: skip

    checkpoint: str
    """A file, a folder or a run, in any format that loads, or a name, or auto; a run knows what it was taught."""
    data: str | None = None
    """What is taught: the train split, or all where there is no split (`vitascope data` lists the kinds)."""
    out: FolderName
    """New folder for the model and what it knows."""
    forget: tuple[str, ...] = ()
    """A class or file to take out of what the run was taught; several: [cat, blurred.jpg]."""
    overwrite: bool = False
    """Replace what was taught into --out before."""
    keep_examples: Annotated[int, Range(0, 100)] = 6
    """Photographs it was judged on, kept small in --out (not in its model/) with their labels, for the page of `serve`;
    0 for none."""
    batch: Count = 32
    """Images per forward pass."""
    workers: Annotated[int, Range(0)] = 0
    """Processes that read images besides this one."""


@dataclass(frozen=True, kw_only=True)
class Enough(Placed):
    """What more photographs would bring."""

    FIRST: ClassVar[tuple[str, ...]] = ("start", "image_size", "group", "figure", "device")

    data: DataName
    """The labelled photographs there are, their train split where they have one (`vitascope data` lists the kinds)."""
    start: CheckpointName = "start"
    """What sees them: a file, a folder or a run, in any format that loads, or a name; start: the package's own."""
    image_size: int | tuple[int, int] | None = None
    """Side in pixels of the images the model sees, or [height, width]; none: as the start says, of the package's own
    also twice or half of that, whichever is better."""
    group: str | None = None
    """What keeps images together besides being copies, as in `teach`."""
    figure: FileName | None = None
    """Write the curve to this PNG file."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Similar(Stated, Placed):
    """Images like a given one."""

    FIRST: ClassVar[tuple[str, ...]] = ("top", "image_size", "device")

    image: str
    """The image file that others are compared with."""
    paths: tuple[str, ...] = ()
    """Image files and folders to look among; none: what the run was taught."""
    top: Count = 5
    """How many are told."""
    batch: Count = 32
    """Images per forward pass."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle(self, "what each image added is told of what was taught", "prior")


@dataclass(frozen=True, kw_only=True)
class Inspect(Stated, Placed):
    """Checkpoints side by side, on some images."""

    FIRST: ClassVar[tuple[str, ...]] = ("out", "show", "image_size", "labels", "overwrite", "device")

    others: tuple[str, ...] = ()
    """Further checkpoints to show beside it, then image files and folders."""
    out: FolderName
    """New folder for the page, figures and numbers."""
    overwrite: bool = False
    """Replace an earlier report in --out."""
    show: Count = 6
    """How many of the images are shown one by one."""
    batch: Count = 16
    """Images per forward pass."""


@dataclass(frozen=True, kw_only=True)
class Compared(Placed):
    """Checkpoints side by side, on some images."""

    checkpoints: tuple[str, ...]
    """Files, folders or runs, in any format that loads, or names; ViT, hybrid or BiT."""
    out: FolderName
    """New folder for the numbers, the figure and their reading."""
    overwrite: bool = False
    """Replace an earlier study in --out."""
    data: DataName | None = None
    """Where images are drawn from, its test split; none: examples of the package."""
    images: Annotated[int, Range(2)] = 64
    """How many images of --data."""
    image_size: int | tuple[int, int] | None = None
    """Side in pixels of the images the models see, or [height, width]; none: as each checkpoint says."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.data is None:
            refuse_idle(self, "there is no --data to draw them from", "images")


@dataclass(frozen=True, kw_only=True)
class Serve(Stated, Placed):
    """The model that is served."""

    FIRST: ClassVar[tuple[str, ...]] = ("image_size", "labels", "prior", "engine", "device", "examples")

    engine: EngineName | None = None
    """What computes; auto begins with eager and changes where that pays; default: eager, or what an export runs on."""
    examples: str | None = None
    """Run whose kept photographs the page begins with; default: those of CHECKPOINT. An export holds none."""
