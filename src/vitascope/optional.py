"""Libraries that only some people need: what to install is said where one of them is missing or broken."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from vitascope.errors import ConfigError
from vitascope.wording import reason


@dataclass(frozen=True, kw_only=True)
class Extra:
    """Libraries that are installed together."""

    what: str
    """What they are for."""
    modules: tuple[str, ...]
    """What is imported of them."""


EXTRAS: dict[str, Extra] = {
    "serve": Extra(what="`serve`, the page and HTTP", modules=("fastapi", "python_multipart", "uvicorn")),
    "heic": Extra(what="HEIC, photographs of phones", modules=("pillow_heif",)),
    "openvino": Extra(what="--engine openvino, int8", modules=("openvino", "nncf")),
    "onnx": Extra(what="--engine onnx, `export`", modules=("onnxruntime", "onnx", "onnxscript")),
    "datasets": Extra(what="data by hf:OWNER/NAME", modules=("datasets",)),
    "tensorboard": Extra(what="--tensorboard", modules=("torch.utils.tensorboard",)),
}
"""Name → what it is; the same as in pyproject.toml, but for developers'."""


def install(*extras: str) -> str:
    """The command that adds them."""
    return f"pip install 'vitascope[{','.join(extras)}]'"


def needed(what: str, extra: str, *names: str) -> Any:
    """Imports the modules `names` → the first; `ConfigError` naming this package's extra where one cannot be.

    `what` begins the message: "serving needs FastAPI and uvicorn".
    """
    try:
        first, *_ = [import_module(name) for name in names]
    except Exception as error:  # absent, or broken by what it imports in turn
        raise ConfigError(f"{what} ({reason(error)}); run: {install(extra)}") from error
    return first


def state(extra: str) -> str:
    """ "present", "missing", or "broken: WHY" where a library is there and cannot be imported."""
    for name in EXTRAS[extra].modules:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name in (name, extra):
                return "missing"
            return f"broken: {reason(error)}"
        except Exception as error:
            return f"broken: {reason(error)}"
    return "present"
