"""Looks and scopes as JSON, the same in the server's answers and inside a page that is opened from a file.

Numbers travel as 8 bits where they are only seen: {"shape", "min", "max", "data"}, data being base64 of uint8 u and
the value min + u/255·(max − min). Attention is scaled row by row, since rows differ by orders of magnitude.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vitascope.checkpoints.answer import as_objects
from vitascope.errors import ConfigError
from vitascope.notebook import data_url

if TYPE_CHECKING:
    from vitascope.models.config import ViTConfig
    from vitascope.views.look import Look, Scope
    from vitascope.web.plain import PlainLook

_DISTANCE_DIGITS = 3


def array(values: npt.ArrayLike) -> dict[str, Any]:
    """Any numbers, 8 bits each over their whole range; raises ConfigError where one is not finite."""
    numbers = _finite(values)
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    scaled = np.zeros(numbers.shape) if high == low else (numbers - low) / (high - low)
    return {"shape": list(numbers.shape), "min": low, "max": high, "data": _base64(_eight_bits(scaled))}


def rows(values: npt.ArrayLike) -> dict[str, Any]:
    """Numbers ≥ 0, (…, T), 8 bits each over 0…the largest of their row: "row_max" is base64 of float32 (…)."""
    given = np.asarray(values)
    largest = np.empty(given.shape[:-1], "<f4")
    scaled = np.empty(given.shape, np.uint8)
    for i, part in enumerate(given):  # for one head at a time: doubles of all would be most of the memory
        numbers = _finite(part)
        largest[i] = numbers.max(axis=-1)
        scaled[i] = _eight_bits(numbers / np.where(largest[i] > 0, largest[i], 1)[..., None])
    return {"shape": list(given.shape), "row_max": _base64(largest), "data": _base64(scaled)}


def picture(pixels: npt.NDArray[np.uint8]) -> str:
    """uint8 (H, W, 3) → a PNG as data URL."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return data_url(file.getvalue())


def labels(predictions: Sequence[tuple[str, int, float]]) -> list[dict[str, Any]]:
    """As objects; raises ConfigError where a probability is not finite."""
    _finite([p for _, _, p in predictions])
    return as_objects(predictions)


def model_payload(scope: Scope, name: str, examples: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    """What the page shows of a model without any image."""
    return {
        "name": name,
        "architecture": scope.name,
        "parameters": scope.parameters,
        "layers": scope.config.depth,
        "heads": scope.config.heads,
        "classes": scope.config.classes,
        **_tokens(scope),
        "image_size": list(scope.image_size),
        "uniform_distance": round(scope.uniform_distance, _DISTANCE_DIGITS),
        "filters": array(scope.filters),
        "similarity": None if scope.similarity is None else array(scope.similarity),
        "locality": None if scope.locality is None else scope.locality.as_json(),
        "examples": list(examples),
    }


def plain_payload(
    name: str, why: str, classes: int, image_size: tuple[int, int], examples: Sequence[dict[str, str]] = ()
) -> dict[str, Any]:
    """The same of a model whose insides are not shown, and `why`."""
    return {
        "name": name,
        "closed": why,
        "classes": classes,
        "image_size": list(image_size),
        "examples": list(examples),
    }


def plain_look(look: Look | PlainLook, id: str, name: str) -> dict[str, Any]:
    """The answer to one image."""
    return {
        "id": id,
        "name": name,
        "size": list(look.image.shape[:2]),
        "image": picture(look.image),
        "predictions": labels(look.predictions),
        **_members(look),
    }


def look_payload(look: Look, id: str, name: str) -> dict[str, Any]:
    """What the page shows of one image, but for the layers."""
    return {
        **plain_look(look, id, name),
        **_tokens(look),
        "lens": [labels(layer) for layer in look.lens],
        "norms": array(look.norms),
        "distance": _rounded(look.distance),
        "share": _rounded(look.share),
        "rollout": array(look.rollout),
        "class_maps": array(look.class_maps),
    }


def layer_payload(look: Look, layer: int) -> dict[str, Any]:
    """The attention of one layer, numbered from 0."""
    return {"layer": layer, "attention": rows(look.attention(layer))}


def _members(look: Look | PlainLook) -> dict[str, Any]:
    """The prediction set, named as in other answers, where there is one."""
    if look.members is None:
        return {}
    return {"set": list(look.members), "known": bool(look.members), "coverage": look.coverage}


def _tokens(of: Look | Scope) -> dict[str, Any]:
    """How the tokens lie on the image."""
    return {
        "grid": list(of.grid),
        "patch": [of.config.pixels_per_token] * 2,
        "prefix": of.config.prefix,
        "class_token": of.config.class_token,
        "reads_class_token": of.config.reads_class_token,
        "who_looks": _who_looks(of.config),
    }


def _who_looks(config: ViTConfig) -> str:
    """Whose attention class maps are, as `Capture.readers` says, with its verb."""
    if config.pooling == "token+distillation":
        return "the class and the distillation token look on average"
    return "the class token looks" if config.reads_class_token else "the patches look on average"


def _finite(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    if not np.isfinite(numbers).all():
        raise ConfigError("the model computes numbers that are not finite for this image; they cannot be shown")
    return numbers


def _rounded(values: npt.ArrayLike) -> Any:
    return np.round(_finite(values), _DISTANCE_DIGITS).tolist()


def _eight_bits(scaled: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    return np.rint(scaled * 255).clip(0, 255).astype(np.uint8)


def _base64(numbers: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers).tobytes()).decode()
