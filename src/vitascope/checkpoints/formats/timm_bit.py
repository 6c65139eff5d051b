"""timm's BiT-ResNets (`resnetv2_50x1_bit` and larger), whose kernels are divided by √(variance + 1e-8).

Read and written as timm's ViTs are; the architecture's name says how many units and how wide they are.
"""

from __future__ import annotations

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.bit import widths
from vitascope.checkpoints.formats.raw import WRITTEN_BY, Draft, RawCheckpoint, labels_of, mapping, stated_size
from vitascope.checkpoints.formats.sizes import Sizes
from vitascope.checkpoints.formats.timm import pretrained_cfg, stated_preprocess
from vitascope.checkpoints.translate import Layout, Shape
from vitascope.checkpoints.unwrap import anchor
from vitascope.models.config import BiTConfig

ANCHOR = anchor(r"(?<!patch_embed\.backbone\.)stem\.conv\.weight")
_KERNEL_EPS = 1e-8
_UNIT, _OURS = "stages.{0}.blocks.{1}", "stages.*.*"
_UNITS: dict[int, tuple[int, ...]] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_ARCHITECTURES = {
    (_UNITS[layers], factor): f"resnetv2_{layers}x{factor}_bit"
    for layers, factor in ((50, 1), (50, 3), (101, 1), (101, 3), (152, 2), (152, 4))
}
_USUAL = {"crop_pct": 0.875, "interpolation": "bilinear", "mean": (0.5,), "std": (0.5,)}


def _leaf(own: str, shape: Shape) -> tuple[str, Shape | None, tuple[int, ...] | None]:
    end = f".{own.rpartition('.')[2]}"
    if own == "head.linear.weight":  # a convolution of one pixel there
        return end, (*shape, 1, 1), None
    return end, None, None


LAYOUT = Layout(
    {
        "root": "stem.conv",
        **{f"{_OURS}.{part}{i}": f"{_UNIT}.{part}{i}" for part in ("conv", "norm") for i in (1, 2, 3)},
        f"{_OURS}.shortcut": f"{_UNIT}.downsample.conv",
        "norm": "norm",
        "head.linear": "head.fc",
    },
    _leaf,
)


def read(raw: RawCheckpoint) -> Draft:
    """The model that the tensors are; raises `CheckpointError` where they are no BiT-ResNet."""
    sizes = Sizes(raw, raw.tensors, LAYOUT)
    width, channels, _, _ = sizes.shape("root.weight", 4)
    described = mapping(raw.config.get("pretrained_cfg"))
    side = stated_size(list(described.get("input_size", ()))[1:])
    factor, base = widths(width)
    config = BiTConfig(
        image_size=side or raw.image_size or (raw.model.image_size if raw.model else (224, 224)),
        channels=channels,
        units=sizes.units(f"{_OURS}.conv1"),
        width_factor=factor,
        base_width=base,
        kernel_eps=_KERNEL_EPS,
        classes=sizes.side("head.linear.weight", 2),
    )
    return Draft(
        config=config,
        layout=LAYOUT,
        tensors=raw.tensors,
        preprocess=stated_preprocess(raw, config, _USUAL),
        labels=labels_of(described.get("label_names", raw.config.get("label_names")), config.classes),
    )


def write(checkpoint: Checkpoint) -> RawCheckpoint:
    """What timm opens as a folder."""
    c = checkpoint.config
    assert isinstance(c, BiTConfig)
    return RawCheckpoint(
        tensors=LAYOUT.to_theirs(checkpoint.model.state_dict(), c),
        config={
            "architecture": _architecture(c),
            **WRITTEN_BY,
            "num_classes": c.classes,
            "num_features": c.features,
            "model_args": {"in_chans": c.channels},
            "pretrained_cfg": pretrained_cfg(checkpoint, "stem.conv", "head.fc"),
        },
        model=c,
    )


def unsaid(c: BiTConfig) -> dict[str, bool]:
    """What timm has no name for, though the tensors could be written."""
    return {
        "a root for small images": c.small_images,
        f"units {c.units} of {c.root_channels} channels": not _architecture(c),
    }


def _architecture(c: BiTConfig) -> str:
    return _ARCHITECTURES.get((c.units, c.width_factor), "") if c.base_width == 64 else ""
