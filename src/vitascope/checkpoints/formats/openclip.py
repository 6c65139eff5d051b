"""open_clip's own image tower, and with the same names OpenAI's CLIP: `visual.` beside the text tower, or alone.

Only read; timm and transformers say the same in names of their own. Towers that open_clip takes from timm
(`visual.trunk.`) have timm's names.
"""

from __future__ import annotations

import logging
from typing import Any

from vitascope.checkpoints.formats.described import GELU
from vitascope.checkpoints.formats.raw import Draft, RawCheckpoint, mapping, stated_size
from vitascope.checkpoints.formats.sizes import Sizes, heads_for
from vitascope.checkpoints.translate import Layout
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.models.config import ViTConfig

log = logging.getLogger(__name__)

ANCHOR = anchor(r"(?:visual\.)?ln_pre\.weight")
_BLOCK, _OURS = "transformer.resblocks.{0}", "encoder.blocks.*"
_LAYOUT = Layout(
    {
        "patches.projection": "conv1",
        "embedding.class_token": "class_embedding",
        "embedding.positions.table": "positional_embedding",
        "embedding.norm": "ln_pre",
        f"{_OURS}.norm1": f"{_BLOCK}.ln_1",
        f"{_OURS}.attention.qkv.weight": f"{_BLOCK}.attn.in_proj_weight",
        f"{_OURS}.attention.qkv.bias": f"{_BLOCK}.attn.in_proj_bias",
        f"{_OURS}.attention.out": f"{_BLOCK}.attn.out_proj",
        f"{_OURS}.scale1": f"{_BLOCK}.ls_1",
        f"{_OURS}.norm2": f"{_BLOCK}.ln_2",
        f"{_OURS}.mlp.fc1": f"{_BLOCK}.mlp.c_fc",
        f"{_OURS}.mlp.fc2": f"{_BLOCK}.mlp.c_proj",
        f"{_OURS}.scale2": f"{_BLOCK}.ls_2",
        "encoder.norm": "ln_post",
        "head.hidden.weight": "proj",
    }
)
_OPENAI = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's files hold beside the weights, and open_clip's do not."""


def read(raw: RawCheckpoint) -> Draft:
    """The image tower that is there; raises `CheckpointError` where something cannot be represented."""
    tensors = raw.part("visual.")
    for name in ("class_embedding", "positional_embedding"):
        if name in tensors and tensors[name].ndim < 3:
            tensors[name] = tensors[name].reshape((1,) * (3 - tensors[name].ndim) + tuple(tensors[name].shape))
    if "proj" in tensors and tensors["proj"].ndim == 2:
        tensors["proj"] = tensors["proj"].T
    sizes = Sizes(raw, tensors, _LAYOUT)
    fields, said = sizes.fields(), mapping(raw.config.get("vision_config"))
    config = ViTConfig(
        **fields | {"representation_activation": "none" if fields["representation_size"] else "gelu"},
        image_size=sizes.grid(fields["patch"], (True,), stated_size(said.get("image_size")))[0],
        heads=heads_for(raw, fields["width"], said.get("num_attention_heads")),
        norm_before=True,
        gelu=_gelu(raw, said.get("hidden_act")),
        norm_eps=said.get("layer_norm_eps", 1e-5),
        layer_scale=1.0 if sizes.has("encoder.blocks.0.scale1.gamma", 1) else None,
    )
    preprocess = Preprocess.from_dict(raw.preprocessor) if raw.preprocessor else raw.assume(clip_preprocess(config))
    return Draft(config=config, layout=_LAYOUT, tensors=tensors, preprocess=preprocess)


def clip_preprocess(config: ViTConfig) -> Preprocess:
    """How CLIP's images are prepared, where nothing says it."""
    usual = Preprocess(size=config.image_size, channels=config.channels, interpolation="bicubic")
    return usual.with_statistics("clip" if config.channels == 3 else None, None)


def _gelu(raw: RawCheckpoint, stated: object) -> Any:
    if stated is not None:
        return raw.meaning(GELU, stated, "hidden_act")
    if any(name in raw.tensors for name in _OPENAI):
        return "quick"
    if isinstance(raw.model, ViTConfig):
        return raw.model.gelu
    log.warning(
        "%s: does not say which GELU it has; assuming the exact one. Where it is the quick one, as in what began with "
        "OpenAI's, say it in Python: vs.save(vs.load(FILE, model=CONFIG), OUT), CONFIG with gelu='quick'",
        raw.path,
    )
    return "erf"
