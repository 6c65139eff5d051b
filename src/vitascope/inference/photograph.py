"""Preprocessing as ONNX operators around a model's graph, so that one photograph of any size goes in: `contract.py`.

The same steps as `Preprocess`: Pillow's resampling with 8-bit results is ONNX's `Resize` on bytes with `antialias` and
`exclude_outside` (what of a filter lies beyond the border is left out, and the rest adds up to 1 again); the whole
image is resized and its middle kept, which is what `fit_box` asks of a part of it. Lanczos alone has no operator.

Pixels agree to a level of 255, seldom two. Rounding decides where a sum ends in a half, and of high images whether the
first pass goes along the rows, as here and in Pillow up to 12, or along the columns, as in Pillow 13.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vitascope.data.preprocess import Preprocess
from vitascope.data.resize import covered
from vitascope.errors import ConfigError
from vitascope.inference.contract import (
    IMAGE,
    IMAGES,
    KNOWN,
    LABEL,
    LOGITS,
    PROBABILITIES,
    SET,
    Described,
    classifies,
    given,
)

OPSETS = range(18, 24)
"""Versions of the ONNX operators that PyTorch's exporter writes, and that resize with antialiasing."""
_GREY = (19595, 38470, 7471)
"""Pillow's weights of red, green and blue in a grey image, of 65,536."""
_BOOL, _FLOAT, _UINT8, _INT32, _INT64 = 9, 1, 2, 6, 7  # onnx.TensorProto's


def check_photographs(preprocess: Preprocess) -> None:
    """Raises `ConfigError` for preprocessing that cannot be written as ONNX operators."""
    if preprocess.interpolation == "lanczos":
        raise ConfigError("a graph from photographs cannot resize by lanczos, which ONNX lacks; choose --input batch")


def take_photographs(path: Path, model: Described) -> None:
    """Makes of an ONNX file for batches of one image one for photographs; weights beside the file stay there."""
    import onnx
    from onnx import helper

    proto = onnx.load(str(path), load_external_data=False)
    graph, outputs = proto.graph, list(proto.graph.output)
    before, after = _Nodes("before"), _Nodes("after")
    _prepare(before, model.preprocess)
    if classifies(model):
        classes = outputs[0].type.tensor_type.shape.dim[1].dim_value
        for name, kind, shape in _answer(after, model, classes):
            outputs.append(helper.make_tensor_value_info(name, kind, shape))
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.output[:], graph.input[:]
    graph.node.extend(nodes)
    graph.output.extend(outputs)
    graph.input.append(_photograph(model.preprocess))
    graph.initializer.extend([*before.constants, *after.constants])
    onnx.save(proto, str(path))


def preparation(preprocess: Preprocess) -> Any:
    """The ONNX model of preprocessing alone, `image` → `images`."""
    from onnx import helper

    add = _Nodes("before")
    _prepare(add, preprocess)
    graph = helper.make_graph(
        add.nodes,
        "preparation",
        [_photograph(preprocess)],
        [helper.make_tensor_value_info(IMAGES, _FLOAT, [1, preprocess.channels, *preprocess.size])],
        add.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS[0])], ir_version=10)


def _photograph(preprocess: Preprocess) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(IMAGE, _UINT8, ["height", "width", given(preprocess)])


class _Nodes:
    """Operators in their order, and the constants that they read."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Adds one with a single output, called `name` or by its place; the name."""
        from onnx import helper

        name = name or f"{self.place}/{len(self.nodes)}_{operator}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"{name}_node", **attributes))
        return name

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.int64) -> str:
        """Adds a tensor; its name."""
        from onnx import numpy_helper

        name = f"{self.place}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name


def _prepare(add: _Nodes, preprocess: Preprocess) -> None:
    """`image` → `images` of a batch of one."""
    shape = add("Shape", IMAGE)
    height, width = (add("Gather", shape, add.constant([side]), axis=0) for side in (0, 1))
    pixels = add("Transpose", _coloured(add, preprocess), perm=[2, 0, 1])
    pixels = add("Unsqueeze", pixels, add.constant([0]))  # (1, C, H, W)
    inner = _inner(add, preprocess, height, width)
    starts = [
        add("Div", add("Sub", side, add.constant([target])), add.constant([2]))
        for side, target in zip(inner, preprocess.size, strict=True)
    ]
    if preprocess.interpolation == "nearest":
        for axis, source in enumerate((height, width)):
            places = _nearest(add, source, inner[axis], starts[axis], preprocess.size[axis])
            pixels = add("Gather", pixels, places, axis=2 + axis)
    else:
        size = add("Concat", add.constant([1, preprocess.channels]), *inner, axis=0)
        start = add("Concat", *starts, axis=0)
        stop = add("Add", start, add.constant(preprocess.size))
        pixels = add("Slice", _resized(add, preprocess, pixels, size), start, stop, add.constant([2, 3]))
    scaled = (add.constant(255 * np.reshape(v, (1, -1, 1, 1)), np.float32) for v in (preprocess.mean, preprocess.std))
    mean, std = scaled
    add("Div", add("Sub", add("Cast", pixels, to=_FLOAT), mean), std, name=IMAGES)


def _coloured(add: _Nodes, preprocess: Preprocess) -> str:
    """(H, W, C) of the model's channels; grey as Pillow makes it."""
    if preprocess.channels != 1:
        return IMAGE
    parts = add("Mul", add("Cast", IMAGE, to=_INT32), add.constant(_GREY, np.int32))
    total = add("Add", add("ReduceSum", parts, add.constant([2])), add.constant([1 << 15], np.int32))
    return add("Cast", add("Div", total, add.constant([1 << 16], np.int32)), to=_UINT8)


def _inner(add: _Nodes, preprocess: Preprocess, height: str, width: str) -> tuple[str, str]:
    """Height and width after resizing, as `fit_box` has them."""
    h, w = map(add.constant, ([side] for side in covered(preprocess.size, preprocess.crop_fraction)))
    if preprocess.fit == "squash":
        return h, w
    across, down = add("Mul", h, width), add("Mul", w, height)
    by_height = add("GreaterOrEqual", across, down)
    return (
        add("Where", by_height, h, add("Max", h, add("Div", down, width))),
        add("Where", by_height, add("Max", w, add("Div", across, height)), w),
    )


def _nearest(add: _Nodes, source: str, inner: str, start: str, count: int) -> str:
    """Which pixels of a side are taken, `count` from `start` on: in whole numbers, where `Resize` has float32."""
    odd = add(
        "Add", add("Mul", add("Add", start, add.constant(np.arange(count))), add.constant([2])), add.constant([1])
    )
    return add("Div", add("Mul", odd, source), add("Mul", inner, add.constant([2])))


def _resized(add: _Nodes, preprocess: Preprocess, pixels: str, size: str) -> str:
    """(1, C, …) of another size, in whole numbers."""
    how: dict[str, Any] = {"coordinate_transformation_mode": "half_pixel"}
    if not preprocess.antialias:  # TensorFlow's, rounded once at the end
        return add("Round", add("Resize", add("Cast", pixels, to=_FLOAT), "", "", size, mode="linear", **how))
    how |= {"antialias": 1, "exclude_outside": 1}
    if preprocess.interpolation == "bicubic":
        return add("Resize", pixels, "", "", size, mode="cubic", cubic_coeff_a=-0.5, **how)
    return add("Resize", pixels, "", "", size, mode="linear", **how)


def _answer(add: _Nodes, model: Described, classes: int) -> list[tuple[str, int, list[int]]]:
    """What is said of `logits`: name, type and shape of each further output."""
    how: dict[str, Any] = {"axis": 1} if model.activation == "softmax" else {}
    add("Softmax" if how else "Sigmoid", LOGITS, name=PROBABILITIES, **how)
    add("ArgMax", PROBABILITIES, name=LABEL, axis=1, keepdims=0)
    said = [(PROBABILITIES, _FLOAT, [1, classes]), (LABEL, _INT64, [1])]
    if model.sets is None:
        return said
    add("GreaterOrEqual", PROBABILITIES, add.constant(model.sets.least, np.float32), name=SET)
    any_of = add("ReduceMax", add("Cast", SET, to=_INT32), add.constant([1]), keepdims=0)
    add("Cast", any_of, name=KNOWN, to=_BOOL)
    return [*said, (SET, _BOOL, [1, classes]), (KNOWN, _BOOL, [1])]
