"""The site of the documentation: every link of every page leads somewhere, and Zensical builds it without a warning."""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

import build
from gather import BrokenLink, Page, Site
from links import faults
from plan import NAV, places_of
from vitascope.cli import COMMANDS, described

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site() -> Site:
    return build.gathered()


def test_every_page_of_the_repository_is_there_and_every_command(site: Site) -> None:
    assert set(build.own_pages()) <= set(site.pages)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page for page in build.own_pages() if f"]({page})" not in readme] == []
    places = list(places_of(NAV))
    assert set(places) <= set(site.pages)
    assert [place for place in places if places.count(place) > 1] == []
    page = site.pages["docs/reference/commands/finetune.md"]
    for _, options in described("finetune").groups():
        assert all(f"`{option.spelt}" in page for option in options)
    assert "of each training image, others each time: less work per image; 0 for none. (in \\[0, 1))" in page
    assert all(f"\n## {name}\n" in site.pages["docs/reference/first.md"] for name in COMMANDS)


def test_names_of_files_become_links_to_their_code(site: Site) -> None:
    assert "[`embedding.py`](src/vitascope/layers/embedding_py.md)" in site.pages["paper_files.md"]
    assert "src/vitascope/layers/embedding_py.md" in site.pages


@pytest.mark.parametrize("link", ["nowhere.md", "../README.md#nothing", "../src/vitascope/nothing.py"])
def test_a_link_that_leads_nowhere_is_refused(link: str) -> None:
    with pytest.raises(BrokenLink, match="links to"):
        Site({}).add(Page("docs/page.md", f"See [this]({link})."))


def test_code_is_left_as_it_is() -> None:
    site = Site({})
    site.add(Page("docs/page.md", "```\n[this](nowhere.md) `layers/patches.py`\n```\nA list:\n- one"))
    assert site.pages["docs/page.md"] == "```\n[this](nowhere.md) `layers/patches.py`\n```\nA list:\n\n- one"


def test_options_within_sentences_are_not_broken() -> None:
    assert build.with_whole_options("<code>--image-size N</code>, <pre><code>--seed 1</code></pre>") == (
        '<code><span class="whole">--image-size</span> N</code>, <pre><code>--seed 1</code></pre>'
    )


def test_what_a_built_page_lacks_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<script src="https://elsewhere.org/x.js"></script><a href="b.html#there">x</a><a href="b.html#not">x</a>'
        '<a href="c.html">x</a><a href="https://elsewhere.org">x</a><img src="p.png">'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    assert list(faults(tmp_path)) == [
        "a.html loads https://elsewhere.org/x.js",
        "a.html links to b.html#not, and b.html has no such anchor",
        "a.html links to c.html, where nothing is",
        "a.html links to p.png, where nothing is",
    ]


def test_the_site_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if find_spec("zensical") is None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("THE SITE IS NOT BUILT: pip install -e '.[docs]'", stacklevel=1)
        pytest.skip("no Zensical")
    monkeypatch.setattr(sys, "argv", ["build.py", str(tmp_path)])
    build.main()
    assert "no link that leads nowhere" in capsys.readouterr().out
    assert (tmp_path / "html" / "docs" / "step_by_step.html").is_file()
