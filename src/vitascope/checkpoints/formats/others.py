"""Architectures that are no plain ViT, told by names of their tensors, so that each is refused under its own name."""

from __future__ import annotations

import re
from collections.abc import Collection

_OTHERS = (
    (r"lora_(A|B|embedding_A|magnitude_vector)\b", "an adapter (LoRA) without its base model: merge them in PEFT with "
     "merge_and_unload() and save the result"),
    (r"relative_position_bias_table|relative_coords_table|attn\.cpb_mlp\.|attention\.self\.logit_scale",
     {r"(^|\.)(layers|features)\.\d+\.": "a Swin Transformer", r"": "a BEiT (relative positions)"}),
    (r"relative_position_bias\.", "a BEiT (relative positions)"),
    (r"(^|\.)norm_pre\.|pre_layrnorm\.|(^|\.)ln_pre\.", "a ViT with a LayerNorm before the blocks (CLIP)"),
    (r"(^|\.)attn_pool\.|vision_model\.post_layernorm", "a ViT with attention pooling (SigLIP)"),
    (r"layer\.\d+\.mlp\.up_proj\.|rope_embeddings\.|(^|\.)rope\.|\A(?=[\s\S]*gamma_1$)(?![\s\S]*pos_embed)",
     "a ViT with rotary positions (DINOv3)"),
    (r"\battn\.(q_bias|inner_attn_ln|q_proj\.)|mlp\.fc1_g\.", "an EVA"),
    (r"attn\.norm\.|mlp\.norm\.", "a BEiT-3 or another ViT with a LayerNorm inside its blocks"),
    (r"attn\.(q|k)_norm\.|\b(q|k)_norm\.", "a ViT that normalises queries and keys"),
    (r"blocks_token_only\.", "a CaiT"),
    (r"(^|\.)embeds\.proj\.", "a NaFlex ViT"),
    (r"attn\.rel_pos", "a ViT with relative positions"),
    (r"mlp_tokens\.", "an MLP-Mixer"),
    (r"\.attns\.\d+\.|in_proj\.|mlp_bias$", "a ViT whose branches run in parallel"),
    (r"local_mp\.", "an XCiT"),
    (r"head_dist\.(l|bn)\.", "a LeViT"),
    (r"(^|\.)transformers\.\d+\.(blocks|pool)\.", "a PiT"),
    (r"patch_embed\.backbone\.(\d|conv1\.|layer1\.|stem\.conv\d)", "a hybrid whose stem is not the paper's ResNet"),
    (r"\.mlp\.(w12|weights_in|gate_proj|w1|fc1_x)\.", "a ViT with SwiGLU (DINOv2 giant)"),
    (r"(^|\.)layer4\.\d+\.conv\d\.|bottleneck|resnet\.encoder\.stages", "a ResNet; of those the official BiT .npz "
     "files are read"),
    (r"conv_dw\.|\.dwconv\.|(^|\.)features\.\d+\.\d+\.block\.|stages\.\d+\.blocks\.\d+\.(?!(conv|norm)[123]\.|downsample\.)|stages\.\d+\.layers\.",
     {r"mlp\.fc1|dwconv|pwconv|layer_scale": "a ConvNeXt or a pyramid of stages", r"": "a convolutional network"}),
    (r"(^|\.)features\.\d+\.", "a convolutional network of torchvision"),
    (r"running_mean$", "a convolutional network"),
)  # fmt: skip
"""Pattern on any tensor's name, and what it belongs to; where that hangs on other names, patterns for those."""


def other_architecture(names: Collection[str]) -> str | None:
    """What a model with tensors of these names is, if it is known and none that this package has."""
    text = "\n".join(names)
    for pattern, what in _OTHERS:
        if re.search(pattern, text, re.MULTILINE):
            return what if isinstance(what, str) else next(kind for p, kind in what.items() if re.search(p, text, re.M))
    return None
