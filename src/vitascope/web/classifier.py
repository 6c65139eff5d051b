"""A classifier as a page: model, runtime and everything else in one folder, or one file, that needs no network.

What is large lies in parts, gzip within base64 and in pieces, since a page from a file may read no file but scripts:
`worker` (what computes beside the page), `wasm` (ONNX Runtime), `model` (the graph from photographs, which resizes as
`Preprocess` does) and `notices` (of third parties). static/parts.js reads them.
"""

from __future__ import annotations

import base64
import gzip
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from vitascope.checkpoints.answer import NONE_OF_THESE
from vitascope.checkpoints.checkpoint import Checkpoint, are_named
from vitascope.checkpoints.checkpoint_html import judgements
from vitascope.checkpoints.kept_examples import KeptExample, captioned
from vitascope.checkpoints.output import atomic_file, atomic_folder
from vitascope.data.images import MAX_PIXELS
from vitascope.errors import CheckpointError, ConfigError
from vitascope.evaluation.interval import wilson
from vitascope.inference.contract import ROLLOUT, classifies
from vitascope.inference.engines import onnx
from vitascope.inference.engines.traced import Further
from vitascope.inference.export import export
from vitascope.inference.partial import header
from vitascope.models.vit import ViT
from vitascope.version import __version__
from vitascope.views.attention_rollout import logits_and_rollout
from vitascope.web.one_page import module, one_page
from vitascope.web.runtime import VERSION, BrowserRuntime, licences
from vitascope.wording import count, memory_text

WHAT = "page"
"""Of `output.KINDS`."""
LARGEST = 1_000_000_000
"""Bytes of a model that a browser's WebAssembly, which has 4 GiB, can take in."""
_PIECE = 12 << 20  # bytes packed of a part in one file or element: longer texts cost a browser several times their size
_ASKED = 3  # kinds that a heading names
_TOP = 5  # labels shown and saved of each photograph, as `vitascope predict` does


def write_classifier(
    checkpoint: Checkpoint,
    out: Path,
    runtime: BrowserRuntime,
    *,
    title: str,
    examples: Sequence[KeptExample] = (),
    one_file: bool = False,
    overwrite: bool = False,
    **how: Any,
) -> dict[str, Any]:
    """Writes the folder, or with `one_file` the HTML file, `out`, wholly or not at all; what `export` says of it.

    The page begins with `examples`; `how` is what `export` takes of the graph: precision, calibration, judge and so on.
    Raises what `export` raises, `CheckpointError` for a model that names no classes, `ConfigError` for one that is too
    large.
    """
    if not classifies(checkpoint):
        raise CheckpointError("a page shows which class a photograph is of, and this model has no classes")
    if checkpoint.preprocess.channels not in (1, 3):
        raise ConfigError(f"a page reads photographs, of 3 channels; this model takes {checkpoint.preprocess.channels}")
    if checkpoint.preprocess.interpolation == "lanczos":
        raise ConfigError("a page cannot resize by lanczos, as this model wants it; `vitascope serve` can")
    if (size := 4 * sum(p.numel() for p in checkpoint.model.parameters())) > LARGEST:
        raise ConfigError(
            f"the model has {memory_text(size)} of weights, and a browser takes {memory_text(LARGEST)}; "
            "choose a smaller model, or `vitascope serve` for this one"
        )
    with tempfile.TemporaryDirectory() as folder:
        further = Further(ROLLOUT, logits_and_rollout) if isinstance(checkpoint.model, ViT) else None
        graph = Path(folder, "graph")
        record = export(checkpoint, graph, "onnx", form="image", further=further, **how)
        model = (graph / onnx.FILES[0]).read_bytes()
    texts = licences()
    worker = (files("vitascope.web") / "static" / "worker.js").read_text("utf-8")
    worker = worker.replace('"./ort.js"', f'"{module(runtime.script.decode())}"')
    parts = {
        "worker": _packed(worker.encode()),
        "wasm": _packed(runtime.wasm),
        "model": _packed(model),
        "notices": _packed(texts["ThirdPartyNotices.txt"].encode()),
    }
    preprocess = checkpoint.preprocess
    about = {
        "title": title,
        "labels": checkpoint.labels,
        "several": checkpoint.activation == "sigmoid",
        "coverage": None if checkpoint.sets is None else checkpoint.sets.coverage,
        "may_be_none": _may_be_none(checkpoint),
        "shape": {"size": preprocess.size, "fit": preprocess.fit, "crop_fraction": preprocess.crop_fraction},
        "most_pixels": MAX_PIXELS,
        "columns": header(min(_TOP, len(checkpoint.labels))),
        "none": NONE_OF_THESE,
        "top": _TOP,
        "examples": [{"name": e.label, "content": base64.b64encode(e.content).decode()} for e in examples],
        "examples_note": captioned(examples),
        "facts": _facts(checkpoint),
        "licence": texts["LICENSE"],
        "pieces": {name: len(pieces) for name, pieces in parts.items()},
    }
    rules: dict[str, Any] = {"scripts": ["'wasm-unsafe-eval'"], "policy": "worker-src data:"}
    if one_file:
        elements = [
            f'<script type="text/plain" id="part-{name}-{n}">{piece}</script>'
            for name, pieces in parts.items()
            for n, piece in enumerate(pieces)
        ]
        page = one_page("classify.html", title, {"classifier": about}, elements=elements, **rules)
        with atomic_file(out, what=WHAT, overwrite=overwrite) as temporary:
            _write(temporary, page)
    else:
        rules["scripts"] += ["'self'", "file:"]  # the latter for browsers to which a file is of no origin
        page = one_page("classify.html", title, {"classifier": about}, **rules)
        with atomic_folder(out, what=WHAT, overwrite=overwrite) as temporary:
            _write(temporary / "index.html", page)
            (temporary / "parts").mkdir()
            for name, pieces in parts.items():
                for n, piece in enumerate(pieces):
                    _write(temporary / "parts" / f"{name}-{n}.js", f'vitascopePiece("{name}-{n}", "{piece}");\n')
            (temporary / "licences").mkdir()
            for name, text in texts.items():
                _write(temporary / "licences" / f"onnxruntime-{name.removesuffix('.txt')}.txt", text)
    size = out.stat().st_size if one_file else sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    told = {name: value for name, value in record.items() if name not in ("input", "output", "shown", "sha256")}
    return {**told, "format": "web", "bytes": size, "runtime": VERSION, "rollout": bool(further)}


def heading(checkpoint: Checkpoint, name: str) -> str:
    """ "Ants or bees?" where the kinds are few and somebody named them; else `name`."""
    few = 1 < len(checkpoint.labels) <= _ASKED and checkpoint.activation == "softmax"
    if not few or not are_named(checkpoint.labels):
        return name
    asked = " or ".join(checkpoint.labels)
    return f"{asked[:1].upper()}{asked[1:]}?"


def _may_be_none(checkpoint: Checkpoint) -> bool:
    """Whether there are photographs of which it would say "none of these"."""
    if checkpoint.activation == "sigmoid":
        return True
    return checkpoint.sets is not None and checkpoint.sets.can_be_empty(len(checkpoint.labels))


def _packed(content: bytes) -> list[str]:
    packed = gzip.compress(content, 6, mtime=0)
    return [base64.b64encode(packed[at : at + _PIECE]).decode() for at in range(0, len(packed), _PIECE)]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of classes may be no UTF-8


def _facts(checkpoint: Checkpoint) -> list[str]:
    """What a reader may want to know of the model, a sentence each."""
    height, width = checkpoint.preprocess.size
    parameters = sum(p.numel() for p in checkpoint.model.parameters())
    told = [
        f"The model has {parameters / 1e6:.1f} million numbers, knows {count(len(checkpoint.labels), 'kind')} and sees "
        f"photographs at {width} × {height} pixels. Written by Vitascope {__version__}."
    ]
    results = checkpoint.card.get("results")
    for found in list(judgements(results if isinstance(results, dict) else {}).values())[-1:]:
        if "top1" in found:
            low, high = (100 * share for share in wilson(found["top1"], found["images"]))
            chosen = " The model was chosen by these, which flatters it." if found.get("chosen_on") else ""
            told.insert(
                0,
                f"Of {count(found['images'], 'photograph')} that it had not learned from it named "
                f"{100 * found['top1']:.0f} % rightly; of others like them expect {low:.0f} to {high:.0f} %.{chosen}",
            )
    return told
