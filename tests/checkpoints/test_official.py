"""The authors' files by name, from a server on the loopback; and a download of one file that is hindered."""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
import urllib.request
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

import vitascope as vs
from depot import Depot
from tiny_checkpoint import checkpoint, same
from vitascope import download as downloading
from vitascope.cache import cache_folder
from vitascope.checkpoints.named import UnreachableError, find
from vitascope.download import _Encrypted, _stated_md5, download
from vitascope.errors import CheckpointError

FILE = "vit_models/augreg/Ti_16-i21k.npz"
NAME = "google:augreg/Ti_16-i21k"


@pytest.fixture
def bucket(depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Depot:
    """With a tiny ViT as the authors write it."""
    vs.save(checkpoint(), tmp_path / "tiny.npz", format="google")
    depot.objects[FILE] = (tmp_path / "tiny.npz").read_bytes()
    monkeypatch.setattr(downloading, "_PAUSE", 0.0)
    monkeypatch.setattr(downloading, "_BLOCK", 500)
    return depot


def refusal(name: str = NAME) -> str:
    with pytest.raises(CheckpointError) as caught:
        vs.load(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def parts() -> list[str]:
    return [path.name for path in cache_folder().rglob("*.part")]


def test_found_and_kept(bucket: Depot) -> None:
    bucket.objects["bit_models/BiT-M-R50x1.npz"] = bucket.objects[FILE]
    bucket.objects["vit_models/imagenet21k+imagenet2012/ViT-B_16.npz"] = bucket.objects[FILE]
    for name in (NAME, f"{NAME}.npz", "google:BiT-M-R50x1", "google:imagenet21k+imagenet2012/ViT-B_16"):
        loaded = vs.load(name)
        assert same(loaded.model, checkpoint().model)
        assert list(loaded.card["fetched"]["sha256"].values()) == [hashlib.sha256(bucket.objects[FILE]).hexdigest()]
    assert [path for _, path, _ in bucket.asked] == [f"/{file}" for file in bucket.objects]
    assert vs.load(NAME).card["fetched"]["url"] == f"{bucket.url}/{FILE}"
    assert parts() == []


def test_a_redirect(bucket: Depot) -> None:
    bucket.renamed["augreg/Old"] = "augreg/Ti_16-i21k"
    assert same(vs.load("google:augreg/Old").model, checkpoint().model)
    assert bucket.statuses == [307, 200]


def test_no_redirect_leaves_an_encrypted_address() -> None:
    asked = urllib.request.Request("https://storage.example/a.npz")
    ask = partial(_Encrypted().redirect_request, asked, None, 302, "", {})
    assert ask("https://elsewhere.example/a.npz") is not None
    with pytest.raises(OSError, match="redirected from https to http://elsewhere"):
        ask("http://elsewhere.example/a.npz")


def test_a_stated_sum_that_is_none_is_told() -> None:
    headers = Message()
    headers["x-goog-hash"] = "crc32c=AAAAAA==, md5=abc"
    with pytest.raises(OSError, match="states an MD5 of 'abc'"):
        _stated_md5(headers)


def test_what_is_not_there(bucket: Depot) -> None:
    assert "there is no http" in refusal("google:augreg/Ti_8-i21k")
    assert "; augreg/index.csv in vit_models lists AugReg's files" in refusal("google:augreg/Ti_8-i21k")
    for path in ("google:", "google:../secret", "google:a/../b", "google:a/b/c"):
        assert "no such file or folder" in refusal(path)
    bucket.status = 503
    assert "answers 503" in refusal()
    assert parts() == []


def test_without_a_network(bucket: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    place = cache_folder() / FILE
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    assert "cannot be fetched (Connection refused); fetch http://127.0.0.1:9/vit_models/augreg" in refusal()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refusal().endswith(f"and put it at {place}")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    assert f"fetch https://storage.googleapis.com/{FILE} where there is a network" in refusal()
    with pytest.raises(UnreachableError):
        find(NAME, cached=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(bucket.objects[FILE])
    assert same(vs.load(NAME).model, checkpoint().model)
    assert find(NAME, cached=True).place == place


def test_other_bytes_than_the_bucket_says(bucket: Depot) -> None:
    bucket.spoil = True
    assert "MD5" in refusal()
    assert "damaged, and not kept" in refusal()
    assert [path for path in cache_folder().rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_cut_off_and_resumed(knows_ranges: bool, bucket: Depot) -> None:
    bucket.knows_ranges = knows_ranges
    bucket.cut = [2000, 1000]
    assert same(vs.load(NAME).model, checkpoint().model)
    said = ["", "bytes=2000-", "bytes=3000-" if knows_ranges else "bytes=1000-"]
    assert [part for _, _, part in bucket.asked][:3] == said


def test_cut_off_for_good_the_next_call_goes_on(bucket: Depot, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vitascope")
    bucket.cut = [2000, 0, 0, 0]
    assert "cut off at 0 MB of 0 MB; the same command goes on from there" in refusal()
    assert len(parts()) == 1
    assert not (cache_folder() / FILE).exists()
    bucket.asked.clear()
    assert same(vs.load(NAME).model, checkpoint().model)
    assert [part for _, _, part in bucket.asked] == ["", "bytes=2000-"]
    assert parts() == []
    assert "going on at 0 MB" in caplog.text


def test_what_was_begun_of_another_version_is_not_gone_on_with(bucket: Depot, tmp_path: Path) -> None:
    bucket.cut = [2000, 0, 0, 0]
    refusal()
    vs.save(checkpoint(labels=("a", "b", "c")), tmp_path / "other.npz", format="google")
    bucket.objects[FILE] = (tmp_path / "other.npz").read_bytes() + b""
    bucket.objects[FILE] = bucket.objects[FILE][:-1] + b"\0"
    download(f"{bucket.url}/{FILE}", tmp_path / "fetched.npz")
    assert (tmp_path / "fetched.npz").read_bytes() == bucket.objects[FILE]


def test_too_slow(bucket: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "TIMEOUT", 0.2)
    bucket.slow = 0.5
    assert "cannot be fetched (timed out); fetch http" in refusal()


def test_progress_is_said(bucket: Depot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vitascope")
    monkeypatch.setattr(downloading, "_SAID", 0.0)
    vs.load(NAME)
    assert f"fetching {bucket.url}/{FILE} (0 MB) to {cache_folder() / FILE}".rpartition("/")[0] in caplog.text
    assert "0 MB of 0 MB" in caplog.text


def test_a_full_disk_and_a_cache_that_cannot_be_written(
    bucket: Depot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    said = refusal()
    assert "the disk is full: 0 MB are missing of it, 0 MB are free" in said
    monkeypatch.undo()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="cannot be fetched"):
        vs.load(NAME)


def test_of_several_that_want_it_one_fetches(bucket: Depot, tmp_path: Path) -> None:
    bucket.slow = 0.05
    failed: list[BaseException] = []

    def fetch() -> None:
        try:
            download(f"{bucket.url}/{FILE}", tmp_path / "fetched")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert (tmp_path / "fetched").read_bytes() == bucket.objects[FILE]
    assert list(tmp_path.glob(".*")) == []


def test_who_waits_for_one_that_gives_up_goes_on_from_there(bucket: Depot, tmp_path: Path) -> None:
    bucket.slow, bucket.cut = 0.05, [2000, 2000, 0, 0, 0]
    failed: list[str] = []

    def fetch() -> None:
        try:
            download(f"{bucket.url}/{FILE}", tmp_path / "fetched")
        except OSError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 1
    assert "cut off" in failed[0]
    assert (tmp_path / "fetched").read_bytes() == bucket.objects[FILE]
    assert [part for _, _, part in bucket.asked] == ["", "", *["bytes=2000-"] * 4]


def test_what_changes_meanwhile_is_begun_again(bucket: Depot, tmp_path: Path) -> None:
    first = bucket.objects[FILE]
    other = first[:-1] + bytes([first[-1] ^ 1])
    bucket.cut, bucket.later = [2000], {FILE: other}
    with pytest.raises(OSError, match="MD5"):  # of the first is what was stated
        download(f"{bucket.url}/{FILE}", tmp_path / "fetched")
    assert [status for status in bucket.statuses if status] == [200, 200]  # no part of another thing
    download(f"{bucket.url}/{FILE}", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == other


def test_the_disk_fills_while_it_is_written(bucket: Depot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloading, "_all_of", full)
    with pytest.raises(OSError, match="No space left"):
        download(f"{bucket.url}/{FILE}", tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
