"""Where the time of a way goes: by PyTorch's operation, and by OpenVINO's node.

python benchmarks/profiles.py [--model ViT-B/16] [--batch 16] [--row inference] [--compile]

Writes results/benchmarks/PROCESSOR/ROW-profile.txt: what limits a row is to be read there.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from contest import FOLDER, slug
from inference import random_checkpoint
from vitascope.inference.class_token import for_prediction
from vitascope.inference.engines.openvino import HINTS, convert, library
from vitascope.precision import autocast, processor, resolve_precision
from vitascope.whole import written_whole

_LINES = 15


def table(title: str, microseconds: Counter[str], calls: Counter[str]) -> str:
    """The longest first, with their share of all."""
    whole = sum(microseconds.values())
    lines = [f"{title}: {whole / 1000:.1f} ms", f"{'':44} {'calls':>6} {'ms':>9} {'share':>7}"]
    for name, spent in microseconds.most_common(_LINES):
        lines.append(f"{name[:44]:44} {calls[name]:6d} {spent / 1000:9.2f} {100 * spent / whole:6.1f} %")
    return "\n".join(lines) + "\n"


def of_torch(run: Callable[[], Any]) -> tuple[Counter[str], Counter[str]]:
    """Microseconds and calls by operation, each without those it calls."""
    run()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run()
    events = seen.key_averages()
    spent = Counter({event.key: int(event.self_cpu_time_total) for event in events})
    return spent, Counter({event.key: int(event.count) for event in events})


def of_openvino(model: Any, images: Tensor, precision: str) -> tuple[Counter[str], Counter[str]]:
    """The same by kind of node and the kernel it got."""
    settings = {
        "PERF_COUNT": True,
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = library().compile_model(model, "CPU", settings).create_infer_request()
    for _ in range(2):
        request.infer([images.numpy()])
    spent: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for node in request.profiling_info:
        name = f"{node.node_type} ({node.exec_type})"
        spent[name] += int(node.real_time.total_seconds() * 1e6)
        calls[name] += 1
    return spent, calls


def write_profile(result: Path, head: str, parts: Sequence[str]) -> None:
    """Beside a row's result, as ROW-profile.txt."""
    path = result.with_name(f"{result.stem}-profile.txt")
    with written_whole(path) as temporary:
        temporary.write_text("\n".join([head + "\n", *parts]), encoding="utf-8")
    print(path.read_text())


def main() -> None:
    """Profiles our eager and OpenVINO engines, or the compiled one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B/16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--row", default="inference")
    parser.add_argument("--compile", action="store_true", help="the compiled engine alone")
    said = parser.parse_args()
    precision = resolve_precision("auto", torch.device("cpu"))
    checkpoint = random_checkpoint(said.model, 224)
    images, short = torch.randn(said.batch, 3, 224, 224), for_prediction(checkpoint.model)
    if said.compile:
        short = torch.compile(short)  # type: ignore[assignment]

    @torch.inference_mode()
    def run() -> None:
        with autocast(precision, torch.device("cpu")):
            short(images)

    head = f"{said.model} at 224 px, batch {said.batch}, {precision}, {processor()}, {torch.get_num_threads()} threads"
    parts = [table("vitascope, compiled" if said.compile else "vitascope, eager", *of_torch(run))]
    if not said.compile:
        parts.append(table("vitascope, openvino", *of_openvino(convert(checkpoint), images, precision)))
    write_profile(FOLDER / slug(processor()) / f"{said.row}.json", head, parts)


if __name__ == "__main__":
    main()
