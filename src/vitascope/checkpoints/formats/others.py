"""Architectures that are no plain ViT, told by names of their tensors, so that each is refused under its own name."""

from __future__ import annotations

import re
from collections.abc import Collection

_RESNET = "a ResNet; of those BiT-ResNets are read"
_CONVNEXT = "a ConvNeXt or another pyramid of stages"
_NO_NORM = "a ViT without a LayerNorm after its blocks (RADIO, InternViT, Qwen)"
_OTHER_ROTARY = "a ViT with rotary positions of another kind than DINOv3's"
_OTHERS = (
    (r"lora_(A|B|embedding_A|magnitude_vector)\b", "", "an adapter (LoRA) without its base model: merge them in PEFT "
     "with merge_and_unload() and save the result"),
    (r"stages\.\d+\.blocks\.\d+\..*rel_pos\.|window_attention\.", "", "a MaxViT or CoAtNet"),
    (r"attention_biases$|head_dist\.(l|bn)\.", "", "a LeViT, TinyViT or EfficientFormer"),
    (r"(^|\.)(layers|features)\.\d+\..*(relative_position_bias_table|relative_coords_table|cpb_mlp\.|self\.logit_scale)|"
     r"attn\.meta_mlp\.", "", "a Swin Transformer"),
    (r"relative_position_bias(_table|\.)", r"attn\.rel_pos\.", "a BEiT (relative positions)"),
    (r"attn\.rel_pos\.|shared_rel_pos\.", "", "a ViT with relative positions"),
    (r"attn\.rel_pos_[hw]$", "", "an encoder of SAM or an MViT (relative positions, attention in windows)"),
    (r"(^|\.)embeds\.proj\.", "", "a NaFlex ViT"),
    (r"local_mp\.", "", "an XCiT"),
    (r"blocks_token_only\.", "", "a CaiT"),
    (r"transformers\.\d+\.(blocks|pool)\.", "", "a PiT"),
    (r"pixel_embed\.|pixel_pos$", "", "a TNT (a Transformer in a Transformer)"),
    (r"revert_projs\.", "", "a CrossViT"),
    (r"serial_blocks\d\.", "", "a CoaT"),
    (r"post_network\.", "", "a VOLO"),
    (r"attn\.gating_param$", "", "a ConViT"),
    (r"(^|\.)blocks\.\d+\.proj\.|pos_embed_win$", "", "a Hiera"),
    (r"backbone\.stages\.\d+\.\d+\.", "", "a ViTamin"),
    (r"norm_pre\.[\s\S]*attn_pool\.|attn_pool\.[\s\S]*norm_pre\.", "", "a Perception Encoder (rotary positions)"),
    (r"lambda_q1$", "", "a ViT with differential attention"),
    (r"rope_embeddings\.|(^|\.)rope\.", "", _OTHER_ROTARY),
    (r"gamma_1$", r"pos_embed|cls_token", _OTHER_ROTARY),
    (r"\A(?=[\s\S]*attn\.qkv\.bias$)[\s\S]*gamma_1$", "pos_embed", _OTHER_ROTARY),
    (r"^cls_norm\.", "", "a DINOv3 with a LayerNorm of its own for the class token"),
    (r"mlp\.fc1_g\.", r"norm1\.bias", "an AIMv2"),
    (r"(^|\.)(q|k)_norm\.", "", "a ViT that normalises queries and keys"),
    (r"\battn\.(inner_attn_ln|q_proj\.)|\A(?=[\s\S]*pos_embed)[\s\S]*(\battn\.q_bias$|mlp\.fc1_g\.)", "", "an EVA"),
    (r"mlp\.fc1_g\.", r"gamma_1$", "an EVA"),
    (r"attn\.norm\.|mlp\.norm\.", "", "a BEiT-3 or another ViT with a LayerNorm inside its blocks"),
    (r"(mlp|linear)_tokens\.|mlp_channels\.", "", "an MLP-Mixer or its like, without attention"),
    (r"\.attns\.\d+\.|in_proj\.|mlp_bias$", "", "a ViT whose branches run in parallel"),
    (r"patch_embed\.backbone\.(\d|conv1\.|layer1\.|stem\.conv\d)", "", "a hybrid whose stem is not the paper's ResNet"),
    (r"\.mlp\.(w12|weights_in|gate_proj|w1|fc1_x)\.", r"gamma_1$|rope_embed\.|(^|\.)layer\.\d+\.mlp\.gate_proj\.",
     "a ViT with SwiGLU (DINOv2 giant)"),
    (r"(^|\.)blocks\.0\.norm1\.weight$", r"blocks\.0\.norm1\.bias$", "a ViT with RMSNorm"),
    (r"^blocks\.0\.norm1\.weight$", r"^(fc_)?norm\.", _NO_NORM),
    (r"(^|\.)layer4\.\d+\.conv\d\.|bottleneck|resnet\.encoder\.stages", "", _RESNET),
    (r"stages\.0\.blocks\.0\.conv1\.", r"(^|\.)stem\.conv\.weight$", _RESNET),
    (r"stages\.0\.blocks\.0\.norm1\.running_mean$", "conv_dw", _RESNET),
    (r"conv_dw\.|\.dwconv\.|(^|\.)features\.\d+\.\d+\.block\.", r"running_mean$", _CONVNEXT),
    (r"stages\.\d+\.layers\.\d+\..*layer_scale", "", _CONVNEXT),
    (r"stages\.\d+\.blocks\.\d+\.(?!(conv|norm)[123]\.|downsample\.)", r"running_mean$", _CONVNEXT),
    (r"(^|\.)features\.\d+\.", "", "a convolutional network of torchvision"),
    (r"running_mean$", r"^head\.0\.running_mean$", "a convolutional network"),
)  # fmt: skip
"""On the name of any tensor; on that of none; what the model is."""
_UNSEEN = (
    (r"_rpn_", "a ViT whose LayerNorms follow its branches (res-post-norm)"),
    (r"_rope_", "a ViT with rotary positions"),
)
"""On timm's name of an architecture whose tensors are called as those of a plain ViT."""


def other_architecture(names: Collection[str], architecture: str = "") -> str | None:
    """What a model with tensors of these names is, if it is known and none that this package has.

    `architecture` is timm's name of it, where that is written down.
    """
    text = "\n".join(names)
    for has, lacks, what in _OTHERS:
        if re.search(has, text, re.MULTILINE) and not (lacks and re.search(lacks, text, re.MULTILINE)):
            return what
    return next((what for pattern, what in _UNSEEN if re.search(pattern, architecture)), None)
