"""Figures: every one draws for every kind, says what its axes are, and is written as PNG and SVG without a warning."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from torch import Tensor

from tiny_checkpoint import look
from vitascope import views
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.views.attention_rollout import enlarged, lit, overlaid
from vitascope.views.look import Look, Scope, scope
from vitascope.views.tiles import columns_for, tiled

FIGURES: dict[str, Callable[[Look, Scope], Figure]] = {
    "filters": lambda seen, known: views.draw_filters(known.filters),
    "similarity": lambda seen, known: views.draw_similarity(known.similarity),
    "distance": lambda seen, known: views.draw_distance(seen.distance, known.uniform_distance),
    "distance alone": lambda seen, known: views.draw_distance(seen.distance),
    "share": lambda seen, known: views.draw_share(seen.share),
    "class attention": lambda seen, known: views.draw_class_attention(seen.class_maps),
    "attention": lambda seen, known: views.draw_attention(
        seen.attention(0), seen.grid, (0, seen.grid[1] - 1), prefix=seen.config.prefix, layer=0
    ),
    "attention of the first token": lambda seen, known: views.draw_attention(
        seen.attention(0), seen.grid, prefix=seen.config.prefix, layer=0
    ),
    "rollout": lambda seen, known: views.draw_rollout(seen.rollout, seen.image),
    "lens": lambda seen, known: views.draw_lens(seen.lens),
    "norms": lambda seen, known: views.draw_norms(
        seen.norms, seen.grid, prefix=seen.config.prefix, class_token=seen.config.class_token
    ),
}
EXPECTED = {
    "filters": {"mid grey is 0"},
    "similarity": {"patch row", "patch column", "cosine similarity"},
    "distance": {"layer", "mean attention distance (pixels)", "uniform attention"},
    "distance alone": {"one head", "mean over heads"},
    "share": {"layer", "share of the image attended (%)"},
    "class attention": {"layer", "head", "attention, share"},
    "attention": {"head 2", "attention weight", "row 1"},
    "attention of the first token": {"first token", "layer 1"},
    "rollout": {"input", "share of the largest value"},
    "lens": {"layer", "rank of the prediction", "probability"},
    "norms": {"layer", "norm of the token", "patch column"},
}


def words(drawing: Figure) -> str:
    svg = io.StringIO()
    drawing.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()


DRAWN = (
    "plain",
    "not square",
    "five channels",
    "mean, no class token",
    "registers, LayerScale, as DINOv2",
    "one patch",
)


@pytest.mark.parametrize("kind", DRAWN, indirect=True)
def test_every_figure_of_every_kind(kind: tuple[Checkpoint, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matplotlib.rcParams", _with_text())
    ck, _ = kind
    image = np.random.default_rng(0).integers(0, 256, (40, 60, ck.config.channels), dtype=np.uint8)
    seen, known = look(ck, image), scope(ck)
    for name, draw in FIGURES.items():
        if name == "lens" and not ck.labels:
            continue
        drawing = draw(seen, known)
        width, height = drawing.get_size_inches()
        assert 2 < width < 16, name
        assert 0.8 < height < 16, name
        text = words(drawing)
        for expected in EXPECTED[name]:
            assert expected in text, name


def test_figures_are_written_as_png() -> None:
    png = io.BytesIO()
    views.draw_share([[0.5]]).savefig(png)
    assert png.getvalue().startswith(b"\x89PNG")


def _with_text() -> object:
    import matplotlib

    parameters = matplotlib.rcParams.copy()
    parameters["svg.fonttype"] = "none"
    return parameters


def test_a_large_grid_shows_some_of_its_tiles_and_says_which() -> None:
    axes = views.draw_similarity(np.eye(20 * 40).reshape(20, 40, 20, 40)).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == [str(n) for n in range(1, 21, 2)]
    assert [t.get_text() for t in axes.get_xticklabels()] == [str(n) for n in range(1, 41, 3)]


def test_tiles_fill_rows_from_the_left() -> None:
    maps = np.arange(1, 4)[:, None, None] * np.ones((1, 2, 2))
    assert tiled(maps, 2, (1, 2), 0).astype(int).tolist() == [
        [1, 1, 0, 0, 2, 2],
        [1, 1, 0, 0, 2, 2],
        [0, 0, 0, 0, 0, 0],
        [3, 3, 0, 0, 0, 0],
        [3, 3, 0, 0, 0, 0],
    ]


def test_tiles_of_a_wall_lie_in_their_places() -> None:
    similarity = np.zeros((2, 3, 2, 3), dtype=np.float32)
    similarity[1, 2, 0, 1] = 0.5
    shown = views.draw_similarity(similarity).axes[0].get_images()[0].get_array()
    assert shown.shape == (2 * 2 + 1, 3 * 3 + 2)
    assert shown[3 + 0, 8 + 1] == 0.5
    assert float(shown.filled(0).sum()) == 0.5  # what lies between tiles is empty


@pytest.mark.parametrize(
    ("n", "ratio", "columns"), [(28, 1, 7), (12, 1, 4), (16, 1, 4), (3, 1, 3), (1, 1, 1), (6, 5, 1)]
)
def test_columns(n: int, ratio: float, columns: int) -> None:
    assert columns_for(n, ratio) == columns


def test_dollars_and_long_names_in_labels_are_only_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matplotlib.rcParams", _with_text())
    lens = [[("cash $x^{y$ and a very long name it is", 0, 0.9), ("<script>", 1, 0.1)]] * 2
    text = words(views.draw_lens(lens))
    assert "<script>" not in text
    assert "cash $x^{y$ and a very" in text


def test_a_map_is_scaled_to_its_largest_and_put_where_it_belongs() -> None:
    amounts = np.zeros((2, 4), dtype=np.float32)
    amounts[0, 3] = 0.01
    big = enlarged(amounts, (20, 40))
    assert big.shape == (20, 40)
    assert big.dtype == np.float32
    assert big[:8, 33:].min() > 0.5
    assert big[12:, :20].max() < 0.1
    assert float(big.max()) == pytest.approx(1, abs=0.05)
    assert not enlarged(np.zeros((2, 4)), (20, 40)).any()
    image = np.full((20, 40, 3), 200, dtype=np.uint8)
    bright = lit(image, amounts)
    assert bright[3, 37].min() > 150
    assert bright[17, 3].max() < 20
    assert np.array_equal(overlaid(image, amounts, opacity=0.0), image)
    coloured = overlaid(image, amounts, opacity=1.0).astype(int)
    assert coloured[2, 37].sum() > coloured[17, 3].sum() + 300
    for picture in (bright, overlaid(image, amounts)):
        assert picture.shape == (20, 40, 3)
        assert picture.dtype == np.uint8


def test_no_figure_is_held_by_pyplot() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from vitascope import views; "
        "views.draw_share([[0.5]]).savefig('/dev/null', format='png'); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
