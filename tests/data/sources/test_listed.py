"""Images listed in CSV: as spreadsheets, pandas and Kaggle write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import image_folder
from vitascope.data.open import open_data
from vitascope.errors import DataError, UnlabelledError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine photographs in class folders, and nothing that lists them."""
    image_folder(tmp_path / "photos", 9)
    return tmp_path


def listed(folder: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_text(text, encoding=encoding)
    return folder / name


def rows(folder: Path, *, ending: bool = True) -> list[tuple[str, str]]:
    files = sorted((folder / "photos").rglob("*.png"))
    return [(str((f if ending else f.with_suffix("")).relative_to(folder)), f.parent.name) for f in files]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ending", [True, False])
def test_it_is_the_folder_it_lists(separator: str, encoding: str, ending: bool, folder: Path) -> None:
    lines = [separator.join(row) for row in [("file", "label"), *rows(folder, ending=ending)]]
    source = open_data(str(listed(folder, "\n".join(lines), encoding=encoding))).train
    expected = open_data(str(folder / "photos")).train
    assert source is not None
    assert expected is not None
    assert source.classes == expected.classes
    assert source.labels.tolist() == expected.labels.tolist()
    assert [source.describe(i) for i in range(9)] == [expected.describe(i) for i in range(9)]
    assert all((source[i] == expected[i]).all() for i in range(9))
    assert source.contents()


def test_a_column_of_splits(folder: Path) -> None:
    words = ["train", "val", "test"] * 3
    text = "\n".join(["path,class,split", *(f"{f},{k},{w}" for (f, k), w in zip(rows(folder), words, strict=True))])
    splits = open_data(str(listed(folder, text)))
    assert {name: len(source) for name, source in splits.present().items()} == {"train": 3, "validation": 3, "test": 3}
    assert splits.classes == ("ant", "bee", "cat")


def test_numbers_are_numbers_and_other_columns_are_named(folder: Path) -> None:
    text = "\n".join(["photo,species", *(f"{file},{10 * i}" for i, (file, _) in enumerate(rows(folder)))])
    path = listed(folder, text)
    train = open_data(f"{path}:file=photo,label=species").train
    assert train is not None
    assert train.classes[:3] == ("0", "10", "20")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("file,label\n", "no rows"),
        ("picture,label\na.png,x\n", "no file column among picture, label"),
        ("file,label\nphotos/absent.png,x\n", "1 file of 1 not found: photos/absent.png"),
        ("file,label\n{0},x\nother.png,y\n", "1 file of 2 not found: other.png"),
        ("file,label\n{0},\n{0},x\n", "lacks 1 label"),
        ("file,label\n{0},1.5\n", "expected integers or strings"),
        ("file,label,split\n{0},x,later\n", "column 'split' says later, expected train, validation or test"),
        ("file,label\n{0}\n{0},x\n", "cannot be read"),
        ("file,label\n{0},x\n" + "{0},x\n" * 9999 + "{0}" + ",y" * 9999 + "\n", "Expected 2 columns, got 10000"),
        ("file,labels\n{0},[{[]}]\n", "expected a list such as"),
    ],
)
def test_what_cannot_be_is_one_line(text: str, said: str, folder: Path) -> None:
    path = listed(folder, text.replace("{0}", rows(folder)[0][0]))
    with pytest.raises(DataError, match=said) as caught:
        open_data(str(path))
    assert "\n" not in str(caught.value)


def test_columns_without_a_name_are_passed_over(folder: Path) -> None:
    text = "\n".join(["file,label,,", *(f"{file},{label},," for file, label in rows(folder))])
    train = open_data(str(listed(folder, text))).train
    assert train is not None
    assert train.classes == ("ant", "bee", "cat")


def test_columns_are_told_apart_by_whatever_they_are_called(folder: Path) -> None:
    text = "\n".join(["file,tag,label,label.1,label", *(f"{file},a,{label},b,c" for file, label in rows(folder))])
    train = open_data(f"{listed(folder, text)}:label=label.1").train
    assert train is not None
    assert train.classes == ("b",)


def test_no_labels_and_no_utf8_are_told(folder: Path) -> None:
    with pytest.raises(UnlabelledError, match="no label column among file"):
        open_data(str(listed(folder, f"file\n{rows(folder)[0][0]}\n")))
    unlabelled = open_data(str(folder / "labels.csv"), labels=False).train
    assert unlabelled is not None
    assert len(unlabelled) == 1
    (folder / "latin.csv").write_bytes("file,label\nx.png,é\n".encode("latin-1"))
    with pytest.raises(DataError, match="in UTF-8"):
        open_data(str(folder / "latin.csv"))
