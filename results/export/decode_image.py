"""What ONNX Runtime's extensions make of JPEG and PNG files, beside Pillow.

python results/export/decode_image.py DATA   # DATA holds ants_bees; pip install onnxruntime-extensions
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime_extensions import get_library_path  # type: ignore[import-not-found]
from PIL import Image, JpegImagePlugin

DOMAIN = "com.microsoft.extensions"


def main() -> None:
    """Prints, by sampling of the colours, images, largest and mean difference in levels of 255."""
    node = helper.make_node("DecodeImage", ["bytes"], ["image"], domain=DOMAIN, color_space="rgb")
    graph = helper.make_graph(
        [node],
        "decode",
        [helper.make_tensor_value_info("bytes", TensorProto.UINT8, [None])],
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [None, None, 3])],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(get_library_path())
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)

    def decoded(file: bytes) -> np.ndarray:
        return session.run(None, {"bytes": np.frombuffer(file, np.uint8)})[0].astype(int)

    found: dict[int, list[np.ndarray]] = {}
    for path in sorted(Path(sys.argv[1], "ants_bees").rglob("*.jpg"))[:120]:
        image = Image.open(path)
        sampling = JpegImagePlugin.get_sampling(image)
        found.setdefault(sampling, []).append(np.abs(decoded(path.read_bytes()) - np.asarray(image.convert("RGB"))))
    for sampling, apart in sorted(found.items()):
        most, mean = max(a.max() for a in apart), np.mean([a.mean() for a in apart])
        name = ("4:4:4", "4:2:2", "4:2:0")[sampling]
        print(f"sampling {name}: {len(apart)} images, {most} at most, {mean:.4f} on average")
    clear, turned = io.BytesIO(), io.BytesIO()
    Image.new("RGBA", (8, 8), (200, 0, 0, 0)).save(clear, "PNG")
    print(f"a transparent red pixel: {decoded(clear.getvalue())[0, 0].tolist()}, here [255, 255, 255]")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 8)).save(turned, "JPEG", exif=exif)
    print(f"16 × 8 that EXIF turns: {decoded(turned.getvalue()).shape[:2]}, here (16, 8)")


if __name__ == "__main__":
    main()
