"""Does a page of `export --format web` say in Chromium what `Predictor` says here, of photographs of all kinds?

python results/export_web/agreement.py CHECKPOINT FOLDER [--photographs 400] [--each 60] [--size 0]

Writes the page as one file, opens it without a network, gives it the photographs of FOLDER as they are and copies of
some of them in other forms, and reads the table that the page saves. `--size` is the copies' longer side, 0 as it is.
Writes agreement.json and agreement.md beside this file. Needs npm's onnxruntime-web, playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

import vitascope as vs
from vitascope.data.preprocess import Preprocess
from vitascope.inference.files import find_images
from vitascope.inference.predictor import Predictor
from vitascope.precision import processor
from vitascope.version import source_commit
from vitascope.web.classifier import write_classifier
from vitascope.web.runtime import VERSION, browser_runtime

HERE = Path(__file__).parent
TURNED = 6  # of EXIF: a quarter to the left of how it is seen


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def other_colours() -> bytes:
    """A colour profile whose red is another's green: who follows it sees other photographs than who does not."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * profile[131], 12)}
    red, green = (slice(places[name] + 4, places[name] + 12) for name in (b"rXYZ", b"gXYZ"))
    profile[red], profile[green] = profile[green], profile[red]
    return bytes(profile)


def turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = TURNED
    return saved(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def faded(image: Image.Image) -> bytes:
    copy = image.copy()
    ramp = np.linspace(0, 255, copy.width).astype(np.uint8)
    copy.putalpha(Image.fromarray(np.broadcast_to(ramp, (copy.height, copy.width)).copy()))
    return saved(copy, "PNG")


def larger(image: Image.Image) -> bytes:
    return saved(image.resize((4000, round(4000 * image.height / image.width))), "JPEG", quality=90)


COPIES: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "PNG": ("png", lambda image: saved(image, "PNG")),
    "WebP without loss": ("webp", lambda image: saved(image, "WEBP", lossless=True)),
    "WebP": ("webp", lambda image: saved(image, "WEBP", quality=80)),
    "AVIF": ("avif", lambda image: saved(image, "AVIF", quality=80)),
    "BMP": ("bmp", lambda image: saved(image, "BMP")),
    "grey PNG": ("png", lambda image: saved(ImageOps.grayscale(image), "PNG")),
    "palette PNG": ("png", lambda image: saved(image.quantize(64), "PNG")),
    "PNG, transparent to one side": ("png", faded),
    "JPEG without halved colours": ("jpg", lambda image: saved(image, "JPEG", quality=90, subsampling=0)),
    "progressive JPEG": ("jpg", lambda image: saved(image, "JPEG", quality=90, progressive=True)),
    "grey JPEG": ("jpg", lambda image: saved(ImageOps.grayscale(image), "JPEG", quality=90)),
    "JPEG turned by EXIF": ("jpg", turned),
    "JPEG with another colour profile": ("jpg", lambda i: saved(i, "JPEG", quality=95, icc_profile=other_colours())),
    "JPEG of 4000 pixels": ("jpg", larger),
    "CMYK JPEG": ("jpg", lambda image: saved(image.convert("CMYK"), "JPEG", quality=95)),
}
"""Forms of the same photographs: the file's ending, and what makes one."""


def in_browser(page: Path, files: list[Path]) -> tuple[list[dict[str, str]], float, float]:
    """The table that the page saves, seconds until it is ready, and seconds for all files."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = chromium.new_context(offline=True, accept_downloads=True).new_page()
        tab.set_default_timeout(3_600_000)
        asked: list[str] = []
        said: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        start = time.monotonic()
        tab.goto(page.as_uri())
        tab.wait_for_selector('#page[data-ready]:not([aria-busy="true"])')
        ready = time.monotonic() - start
        start = time.monotonic()
        tab.get_by_test_id("files").set_input_files(files)
        tab.wait_for_selector('#page[aria-busy="true"]')
        tab.wait_for_selector('#page:not([aria-busy="true"])')
        seconds = time.monotonic() - start
        with tab.expect_download() as waiting:
            tab.get_by_test_id("csv").click()
        rows = list(csv.DictReader(Path(waiting.value.path()).read_bytes().decode("utf-8-sig").splitlines()))
        chromium.close()
    foreign = [address for address in asked if not address.startswith(("file:", "data:", "blob:"))]
    assert not foreign, foreign[:3]
    assert not said, said[:3]
    return rows, ready, seconds


def compared(rows: list[dict[str, str]], files: list[Path], predictor: Predictor) -> dict[str, Any]:
    """How often the label is the same, and how far probabilities lie apart, of all labels that the page tells."""
    by_file = {row["file"]: row for row in rows}
    read = [file for file in files if not by_file[file.name]["error"]]
    labels, same, apart = predictor.checkpoint.labels, 0, []
    for file, expected in zip(read, predictor.probabilities(read).numpy(), strict=True):
        mine = by_file[file.name]
        same += mine["label"] == labels[int(expected.argmax())]
        ranks = ["", *(f"_{rank}" for rank in range(2, 1 + sum(name.startswith("label") for name in mine)))]
        told = [(labels.index(mine[f"label{rank}"]), float(mine[f"probability{rank}"])) for rank in ranks]
        apart.append(max(abs(probability - expected[index]) for index, probability in told))
    return {
        "photographs": len(files),
        "read": len(read),
        "same_label": same,
        "largest": float(np.max(apart, initial=0.0)),
        "mean": float(np.mean(apart)) if apart else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("folder")
    parser.add_argument("--photographs", type=int, default=400)
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--size", type=int, default=0)
    asked = parser.parse_args()
    checkpoint = vs.load(asked.checkpoint)
    originals = find_images([asked.folder])[: asked.photographs]
    step = max(len(originals) // asked.each, 1)
    found: dict[str, list[Path]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        found["as they are"] = []
        for n, original in enumerate(originals):
            copy = folder / f"original-{n:04}{original.suffix}"
            copy.write_bytes(original.read_bytes())
            found["as they are"].append(copy)
        for kind, (ending, make) in COPIES.items():
            found[kind] = []
            for n, original in enumerate(originals[::step][: asked.each]):
                image = Image.fromarray(Preprocess(size=(32, 32)).read(original))
                if asked.size:
                    image.thumbnail((asked.size, asked.size))
                copy = folder / f"{kind.replace(' ', '-').replace(',', '')}-{n:04}.{ending}"
                copy.write_bytes(make(image))
                found[kind].append(copy)
        files = [file for each in found.values() for file in each]
        page = folder / "page.html"
        written = write_classifier(checkpoint, page, browser_runtime(), title="agreement", one_file=True)
        rows, ready, seconds = in_browser(page, files)
        predictor = Predictor(checkpoint, "eager")
        kinds = {kind: compared(rows, each, predictor) for kind, each in found.items()}
    told = {
        "command": f"agreement.py {Path(asked.checkpoint).name} {Path(asked.folder).name} "
        f"--photographs {asked.photographs} --each {asked.each} --size {asked.size}",
        **source_commit(),
        "model": f"{sum(p.numel() for p in checkpoint.model.parameters()) / 1e6:.1f} M parameters",
        "pixels": list(checkpoint.preprocess.size),
        "classes": len(checkpoint.labels),
        "onnxruntime-web": VERSION,
        "processor": processor(),
        "megabytes": round(written["bytes"] / 1e6, 1),
        "seconds_until_ready": round(ready, 2),
        "seconds_each": round(seconds / len(files), 3),
        "kinds": kinds,
    }
    (HERE / "agreement.json").write_text(json.dumps(told, indent=1) + "\n")
    (HERE / "agreement.md").write_text(text(told))
    print(text(told))


def text(told: dict[str, Any]) -> str:
    lines = ["| photographs | number | same label | largest difference | mean |", "|---|--:|--:|--:|--:|"]
    for kind, each in told["kinds"].items():
        same, largest, mean = f"{each['same_label']} of {each['read']}", each["largest"], each["mean"]
        unread = "" if each["read"] == each["photographs"] else f" ({each['photographs'] - each['read']} unread)"
        lines.append(f"| {kind} | {each['photographs']}{unread} | {same} | {largest:.1e} | {mean:.1e} |")
    (height, width), runtime = told["pixels"], told["onnxruntime-web"]
    told_of = (
        f"Differences of probabilities in [0, 1]. A model of {told['model']} at {width}×{height} pixels; "
        f"onnxruntime-web {runtime} in Chromium, one thread of {told['processor']}, with other work beside it: "
        f"ready after {told['seconds_until_ready']} s, then {told['seconds_each']} s a photograph; "
        f"{told['megabytes']} MB."
    )
    return "\n".join([*lines, "", told_of]) + "\n"


if __name__ == "__main__":
    main()
