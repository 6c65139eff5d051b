"""The documentation as a site, from what stands in the repository: python docs/site/build.py [FOLDER]

Writes FOLDER (build/docs): pages/ as gathered, html/ as built, to open from file:// or any host. Nothing is fetched.
Ends with an error at a warning, a link that leads nowhere, or a thing that a page would load from elsewhere.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from gather import ROOT, BrokenLink, Page, Site, notebook, sections
from links import faults
from plan import NAV, README_PARTS, places_of, with_the_rest
from reference import pages

HERE = Path(__file__).parent


def main() -> None:
    """Gathers, builds and checks."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "docs").resolve()
    for ours in ("pages", "html"):
        shutil.rmtree(folder / ours, ignore_errors=True)
    try:
        site = gathered()
    except BrokenLink as error:
        raise SystemExit(f"docs: {error}") from None
    for place, text in site.pages.items():
        write(folder / "pages" / place, text)
    for place in site.files:
        (folder / "pages" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / place, folder / "pages" / place)
    for name in ("site.css", "mark.svg", "iframe-worker.js"):
        shutil.copyfile(HERE / name, folder / "pages" / name)
    nav = with_the_rest(own_pages())
    config = (HERE / "zensical.toml").read_text(encoding="utf-8")
    write(folder / "zensical.toml", config.replace('nav = "made by build.py"', f"nav = {as_toml(nav)}"))
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(folder / "zensical.toml")],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    said = f"{built.stdout}{built.stderr}"
    if built.returncode or re.search(r"\bwarning", said, re.IGNORECASE):
        raise SystemExit(said)
    (folder / "html" / "404.html").unlink()  # its links are those of one host's root
    for path in (folder / "html").rglob("*.html"):
        write(path, with_whole_options(path.read_text(encoding="utf-8")))
    wrong = list(faults(folder / "html"))
    if wrong:
        raise SystemExit("\n".join(["docs: links that lead nowhere", *wrong]))
    print(f"{len(site.pages)} pages, no warning, no link that leads nowhere: {folder / 'html' / 'index.html'}")


def own_pages() -> list[str]:
    """The pages of docs/."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))


def gathered() -> Site:
    """Every page, with its links as they are in the site; `BrokenLink` for one that leads nowhere."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    parts = sections(readme)
    start = (HERE / "index.md").read_text(encoding="utf-8")
    install = re.search(r"^Without make.*?^```\n.*?^```\n", readme, re.MULTILINE | re.DOTALL)
    if install is None or set(README_PARTS) - set(parts):
        raise BrokenLink(f"README.md lacks what the site shows: {sorted(set(README_PARTS) - set(parts))}")
    own = set(places_of(NAV))
    files = sorted({*own_pages(), *(place for place in own if (ROOT / place).is_file())})
    site = Site(README_PARTS)
    site.add(
        Page("index.md", start.replace("@without make@", install[0].strip())),
        *(Page(place, parts[title]) for title, place in README_PARTS.items()),
        *(Page(place, (ROOT / place).read_text(encoding="utf-8")) for place in files),
        *(notebook(str(path.relative_to(ROOT))) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))),
        *pages(),
    )
    return site


def with_whole_options(html: str) -> str:
    """A page whose options within sentences and tables, `--image-size`, are not broken at their hyphens."""
    return re.sub(
        r"(?<!<pre>)<code>[^<]*</code>",
        lambda code: re.sub(r"--[a-z][\w.-]*\w", r'<span class="whole">\g<0></span>', code[0]),
        html,
    )


def as_toml(nav: dict[str, object]) -> str:
    """The order of the pages as Zensical reads it."""
    rows = [
        f"{{ {json.dumps(title)} = {as_toml(part) if isinstance(part, dict) else json.dumps(part)} }}"
        for title, part in nav.items()
    ]
    return f"[{', '.join(rows)}]"


def write(path: Path, text: str) -> None:
    """A file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
