"""`vitascope teach` on photographs with ViT-S/16 at 224 pixels, beside computing their features by each engine.

python benchmarks/teach.py [--photographs FOLDER] [--rounds 3] [--engines eager openvino onnx]

Random weights; the time does not depend on them. Teaching finds nothing in the cache folder: features, copies and what
engines are worth here are found out anew each time, and a whole run is written. An engine is made, reads the same
photographs and computes. In turns; FOLDER is otherwise $VITASCOPE_TEST_DATA/ants_bees. Beside the times by the clock
stand seconds of the processor, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from contest import Way, contest, keep, ratios, spread, summary
from predict import checkpoint
from vitascope.checkpoints.load import load
from vitascope.checkpoints.save import save
from vitascope.inference.features import Embedder
from vitascope.inference.files import find_images
from vitascope.recipes.asked import Teach
from vitascope.recipes.teach import teach_run


def timed(work: Callable[[], object], kept: list[float]) -> Callable[[], object]:
    """The same work, whose seconds of all the processor's cores are kept."""

    def run() -> None:
        start = time.process_time()
        work()
        kept.append(time.process_time() - start)

    return run


def main() -> None:
    """Measures in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=["eager", "openvino", "onnx"])
    said = parser.parse_args()
    photographs = said.photographs or Path(os.environ.get("VITASCOPE_TEST_DATA", ".")) / "ants_bees"
    files = find_images([str(photographs)])
    used: dict[str, list[float]] = {"vitascope teach": [], **{name: [] for name in said.engines}}
    with tempfile.TemporaryDirectory() as name:
        start, cache, out = Path(name) / "start", Path(name) / "cache", Path(name) / "run"
        save(checkpoint(), start)
        os.environ["VITASCOPE_CACHE"] = str(cache)

        def teach() -> None:
            shutil.rmtree(cache, ignore_errors=True)
            teach_run(Teach(checkpoint=str(start), data=str(photographs), out=str(out), overwrite=True))

        def compute(engine: str) -> None:
            for _ in Embedder(load(start), engine, batch=64).files(files):
                pass

        works: dict[str, Callable[[], object]] = {"vitascope teach": teach}
        works |= {engine: lambda engine=engine: compute(engine) for engine in said.engines}
        ways = [Way(name=name, run=timed(work, used[name]), images=len(files)) for name, work in works.items()]
        before = os.getloadavg()
        seconds = contest(ways, said.rounds, warmup=1)  # which imports the engines
    processor = {way.name: spread(used[way.name]) for way in ways}
    result = {
        "measure": f"teaching {len(files)} photographs, ViT-S/16, 224 px, and their features alone",
        "ways": summary(ways, seconds),
        "processor_seconds": processor,
        "processor_ratios": ratios(ways, used),
        "ratios": ratios(ways, seconds),
        "load": {"before": before, "after": os.getloadavg()},
    }
    print(keep("teach", result).read_text())


if __name__ == "__main__":
    main()
