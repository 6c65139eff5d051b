"""DINOv3 as timm has it, as an EVA, and as its authors do (facebookresearch/dinov3), under timm's names of a plain ViT.

Neither has biases on keys, which are zeros here: timm has none at all, the authors a mask over those of q, k and v.
Angles of positions are computed here; the authors' files hold their periods too, often rounded to bfloat16.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vitascope.checkpoints.formats.dinov3 import WIDE_HEADS
from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.checkpoints.formats.sizes import heads_for
from vitascope.errors import CheckpointError
from vitascope.layers.rotary import TEMPERATURE

_BIAS, _MASK, _PERIODS = "attn.qkv.bias", "attn.qkv.bias_mask", "rope_embed.periods"
_RENAMES = (
    *((r"^storage_tokens$", "reg_token"), (r"\.mlp\.(fc1_x|w2)\.", ".mlp.fc1.")),
    *((r"\.mlp\.w1\.", ".mlp.fc1_g."), (r"\.mlp\.w3\.", ".mlp.fc2.")),
)
_UNUSED = r"local_cls_norm\.|mask_token\Z"
"""What only their training reads."""


def is_dinov3(tensors: Mapping[str, Tensor]) -> bool:
    """By the authors, with periods; or by timm, with LayerScale as in EVA, a class token, and no table of positions."""
    timm = {"blocks.0.gamma_1", "cls_token"} <= tensors.keys() and "pos_embed" not in tensors
    return timm or _PERIODS in tensors


def heads(raw: RawCheckpoint, width: int, stated: object) -> int:
    """As `heads_for`, and by the periods where they are there."""
    told = _told_by_periods(raw, width)
    return heads_for(raw, width, told if stated is None else stated, WIDE_HEADS)


def _told_by_periods(raw: RawCheckpoint, width: int) -> int | None:
    """Heads, of which each has four channels a period; raises `CheckpointError` for others than are computed here."""
    if (periods := raw.tensors.get(_PERIODS)) is None:
        return None
    d = 4 * periods.numel()
    if not d or width % d:
        raise CheckpointError(f"{raw.path}: {_PERIODS} are for heads of {d} channels, which do not divide {width}")
    computed = TEMPERATURE ** torch.arange(0, 1, 4 / d, dtype=torch.float32)
    if not torch.allclose(periods.float().flatten(), computed, rtol=2**-7):  # twice what bfloat16 rounds
        raise CheckpointError(f"{raw.path}: {_PERIODS} are not the powers of {TEMPERATURE:g} that DINOv3's are")
    return width // d


def plain(raw: RawCheckpoint) -> dict[str, Tensor]:
    """The tensors under the names of a plain ViT, with the biases of q, k and v in one."""
    tensors = raw.renamed(_RENAMES, _UNUSED)
    tensors.pop(_PERIODS, None)
    result = {name: tensor for name, tensor in tensors.items() if not name.endswith((".q_bias", ".v_bias", _MASK))}
    for name, tensor in tensors.items():
        block = name.rpartition("attn.")[0]
        if name.endswith(".q_bias"):
            v = tensors.get(f"{block}attn.v_bias", torch.zeros_like(tensor))
            result[block + _BIAS] = torch.cat([tensor, torch.zeros_like(tensor), v])
        elif name.endswith(_MASK) and (bias := tensors.get(block + _BIAS)) is not None and bias.shape == tensor.shape:
            result[block + _BIAS] = bias * tensor
    return result


def for_timm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back; raises `CheckpointError` for biases on keys."""
    result: dict[str, Tensor] = {}
    x = "fc1_x" if any(".mlp.fc1_g." in name for name in tensors) else "fc1"
    for name, tensor in tensors.items():
        if name.endswith(_BIAS):
            q, k, v = tensor.chunk(3)
            if k.any():
                raise CheckpointError('format "timm" has no biases on the keys of a DINOv3: use format "huggingface"')
            block = name.removesuffix(_BIAS)
            result[f"{block}attn.q_bias"], result[f"{block}attn.v_bias"] = q.clone(), v.clone()
        else:
            name = name.replace(".mlp.fc1.", f".mlp.{x}.")
            result[name.replace(".ls1.gamma", ".gamma_1").replace(".ls2.gamma", ".gamma_2")] = tensor
    return result
