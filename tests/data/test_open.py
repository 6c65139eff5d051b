"""Specs of data, and the table of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pictures import put
from vitascope.data.open import CATALOGUE, Entry, open_data, recognise
from vitascope.data.source import Splits
from vitascope.errors import DataError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, str]]]:
    """Instead of opening anything, note which entry was asked for with what."""
    asked: list[tuple[str, str, dict[str, str]]] = []

    def noting(entry: Entry, argument: str, options: dict[str, str], seed: int, *, labels: bool) -> Splits:
        asked.append((entry.name, argument, options))
        return Splits()

    monkeypatch.setattr(Entry, "open", noting)
    return asked


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("digits", ("digits", "digits", {})),
        ("cifar10", ("cifar10", "cifar10", {})),
        ("cifar100", ("cifar100", "cifar100", {})),
        ("fractals", ("fractals", "fractals", {})),
        ("fractals:classes=10,seed=2", ("fractals", "fractals", {"classes": "10", "seed": "2"})),
        ("hf:owner/name", ("hf", "owner/name", {})),
        ("hf:owner/name:small", ("hf", "owner/name:small", {})),
        ("hf:owner/name:small:label=x", ("hf", "owner/name:small", {"label": "x"})),
        ("hf:owner/name:label=x,image=y", ("hf", "owner/name", {"label": "x", "image": "y"})),
        ("some/{000..009}.tar", ("webdataset", "some/{000..009}.tar", {})),
        ("some/*.tar", ("webdataset", "some/*.tar", {})),
    ],
)
def test_names_and_patterns(
    spec: str,
    expected: object,
    calls: list[tuple[str, str, dict[str, str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    open_data(spec, seed=5)
    assert calls == [expected]


@pytest.mark.parametrize(
    ("file", "spec", "kind"),
    [
        ("d/a/1.png", "d", "folder"),
        ("d/train-00000-of-00001.parquet", "d", "parquet"),
        ("d/data/train.parquet", "d", "parquet"),
        ("d/x.parquet", "d/x.parquet", "parquet"),
        ("d/x.tar", "d/x.tar", "webdataset"),
        ("d/x.tar", "d", "webdataset"),
        ("d/x.tgz", "d/x.tgz", "webdataset"),
        ("digits/a/1.png", "digits", "folder"),  # a path wins over a name
        ("a:b=c/a/1.png", "a:b=c", "folder"),
        ("with space/é/1.png", "with space", "folder"),
    ],
)
def test_paths(
    file: str,
    spec: str,
    kind: str,
    calls: list[tuple[str, str, dict[str, str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(file).parent.mkdir(parents=True)
    Path(file).write_bytes(b"")
    open_data(spec)
    open_data(str(tmp_path / spec))
    assert calls == [(kind, spec, {}), (kind, str(tmp_path / spec), {})]


def test_options_that_a_folder_does_not_take_mean_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fractals" / "a").mkdir(parents=True)
    assert recognise("fractals")[0].name == "folder"
    assert recognise("fractals:size=16") == (CATALOGUE[5], "fractals", {"size": "16"})
    assert CATALOGUE[5].name == "fractals"


def test_options_after_a_path(
    calls: list[tuple[str, str, dict[str, str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"")
    open_data(f"{tmp_path}:label=coarse_label,image=img")
    monkeypatch.setenv("HOME", str(tmp_path))
    open_data("~/x.parquet:label=a")
    assert calls == [
        ("parquet", str(tmp_path), {"label": "coarse_label", "image": "img"}),
        ("parquet", str(tmp_path / "x.parquet"), {"label": "a"}),
    ]


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("digts", r"did you mean digits\?"),
        ("cifar-10", "did you mean cifar10 or cifar100"),
        ("CIFAR100", "did you mean cifar100"),
        ("qqqq", "expected a path or one of digits, fractals, cifar10, cifar100, hf$"),
        ("folder", "no such folder"),
        ("", "no data named"),
        ("some/where", "no such file or folder; check the path"),
        ("photos.parquet", "no such file or folder"),
        ("./photos", "no such file or folder"),
        ("a\nb", r"a\\nb"),
        ("nul\0", "no data of this name"),
        ("x" * 5000, "no data of this name"),
        ("digits:size=3", "unknown option 'size', expected none"),
        ("cifar10:size=3", "unknown option 'size', expected none"),
        ("hf:owner/name:split=train", "unknown option 'split', expected image=COLUMN or label=COLUMN"),
        ("fractals:classes", "expected fractals or fractals:KEY=VALUE"),
        ("fractals:=3", "expected key=value"),
        ("hf:", "expected hf:OWNER/NAME"),
        ("absent-{0..3}.tar", "no such tar file"),
    ],
)
def test_unknown_data(spec: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=match) as caught:
        open_data(spec)
    assert "\n" not in str(caught.value)


def test_a_file_of_unknown_kind(tmp_path: Path) -> None:
    path = put(tmp_path / "photo.png")
    with pytest.raises(DataError, match="a file of unknown kind"):
        open_data(str(path))
    put(tmp_path / "photos" / "a" / "1.png")
    with pytest.raises(DataError, match="unknown option 'label'"):
        open_data(f"{tmp_path / 'photos'}:label=x")


def test_data_that_needs_nothing_opens() -> None:
    assert open_data("digits").classes == tuple("0123456789")
    pytest.importorskip("vitascope.data.sources.fractals")
    first, again, other = (open_data("fractals:classes=3,instances=2", seed=s).train for s in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert (first[0] == again[0]).all()
    assert not (first[0] == other[0]).all()
    given = open_data("fractals:classes=3,instances=2,seed=1", seed=2).train
    assert given is not None
    assert (given[0] == first[0]).all()


def test_the_catalogue_says_everything() -> None:
    names = [entry.name for entry in CATALOGUE]
    assert len(set(names)) == len(names)
    assert {"folder", "parquet", "csv", "webdataset", "digits", "fractals", "cifar10", "cifar100", "hf"} == set(names)
    for entry in CATALOGUE:
        assert all((entry.name, entry.typed, entry.holds, entry.splits))
        assert all("\n" not in text for text in (entry.typed, entry.holds, entry.splits, entry.needs))


def test_the_splits_of_generated_and_built_in_data_are_as_the_catalogue_says() -> None:
    pytest.importorskip("vitascope.data.sources.fractals")
    said = {entry.name: entry.splits for entry in CATALOGUE}
    for name in ("digits", "fractals"):
        assert ", ".join(open_data(name).present()) == said[name]


def test_the_table_is_had_without_heavy_imports() -> None:
    code = "import sys, vitascope.data.open; print([m for m in ('torch', 'sklearn', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
