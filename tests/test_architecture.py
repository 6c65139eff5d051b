"""The plan of the house, held: imports point downwards only, light modules stay light, peers stay out."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "vitascope"
DOCS = sorted((ROOT / "docs").glob("*.md"))

# From the ground up; a module imports only from its own floor or below, and a room never from a room beside it
# unless the pair is listed. docs/architecture.md draws the same picture.
FLOORS = [
    {
        "errors",
        "version",
        "cache",
        "whole",
        "wording",
        "streams",
        "interruption",
        "json_text",
        "memory",
        "file_lock",
        "ahead",
    },
    {"fields", "lock", "optional", "precision", "device", "weights", "yaml_text", "download", "notebook"},
    {"data", "layers"},
    {"models", "evaluation"},
    {"checkpoints"},
    {"training", "inference", "views", "teaching"},
    {"reports"},
    {"recipes", "web"},
    {"studies"},
    {"cli"},
]
PEERS = {"torchvision", "timm", "transformers", "torchmetrics", "lightning", "kornia"}
FILES = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


@cache
def imported(path: Path) -> frozenset[str]:
    """Full names of everything a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def own_rooms(path: Path) -> set[str]:
    return {n.split(".")[1] for n in imported(path) if n.startswith("vitascope.")}


def floor_of(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downwards(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "__main__"):  # the front doors, which hand out names from every floor
        return
    for other in own_rooms(path) - {here}:
        assert floor_of(other) < floor_of(here), f"{path.name} on floor {floor_of(here)} imports {other}"


def test_no_circle_between_files() -> None:
    modules = {"vitascope." + ".".join(p.relative_to(SOURCE).with_suffix("").parts): p for p in FILES}
    # "from vitascope.data.mix import mixup" names vitascope.data.mix.mixup, of which a part is a file.
    arrows = {
        name: {part for wanted in imported(path) for part in (wanted, wanted.rpartition(".")[0]) if part in modules}
        for name, path in modules.items()
        if path.name != "__init__.py"
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"circle: {' → '.join([*path[path.index(name) :], name])}"
        if name not in done:
            for other in arrows.get(name, set()):
                visit(other, (*path, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_file_says_what_it_is_and_needs_no_peer(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"
    assert not {name.split(".")[0] for name in imported(path)} & PEERS


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks"])
def test_no_file_is_overfull(folder: str) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert [str(path) for path, lines in lengths.items() if lines > 300] == [], "look for the second idea"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_pickle_and_no_prints(path: Path) -> None:
    tree = ast.parse(path.read_text())
    readers = {name for name in imported(path) if name.split(".")[0] in ("pickle", "dill", "cloudpickle", "shelve")}
    assert readers <= {"pickle.UnpicklingError"}, "the error may be caught, nothing may be unpickled"
    if room(path) != "cli":
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not [c for c in calls if isinstance(c, ast.Name) and c.id == "print"], "libraries log, they never print"


@pytest.mark.parametrize(
    "module",
    [
        "vitascope",
        "vitascope.checkpoints.named",
        "vitascope.cli",
        "vitascope.recipes.recipe",
        "vitascope.recipes.presets",
        "vitascope.models.config",
        "vitascope.evaluation",
        "vitascope.evaluation.shots",
        "vitascope.views",
        "vitascope.web.app",
        "vitascope.web.server",
        "vitascope.web.settings",
    ],
)
def test_light_modules_do_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'huggingface_hub'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_pinned() -> None:
    import vitascope

    assert vitascope.__all__ == [
        "Checkpoint", "CheckpointError", "ConfigError", "DataError", "DivergedError", "ExportError", "ImageError",
        "OutputError", "PeerError", "Predictor", "Preprocess", "Stopped", "UserError", "VitascopeError", "__version__",
        "create_model", "data", "evaluation", "features", "load", "model_config", "model_names", "models", "open_data",
        "save", "teach", "views",
    ]  # fmt: skip
    for name in vitascope.__all__:
        assert getattr(vitascope, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = vitascope.nonsense


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in DOCS)])
def test_files_that_pages_name_exist(page: str) -> None:
    named = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)*/[\w-]+\.(?:py|md|sh|json|jsonl))`", (ROOT / page).read_text()))
    places = (ROOT, SOURCE)
    missing = {name for name in named if not any((place / name).exists() for place in places)}
    bare = set(re.findall(r"`([\w-]+\.(?:py|md))`", (ROOT / page).read_text()))  # of a folder that stands before it
    files = {path.name for place in ("src", "tests", "benchmarks", "docs") for path in (ROOT / place).rglob("*.*")}
    assert sorted(missing | (bare - files - {path.name for path in ROOT.iterdir()})) == []


def test_the_plan_names_every_file_and_nothing_that_is_not_there() -> None:
    plan = (ROOT / "docs" / "architecture.md").read_text()
    words = set(re.findall(r"\w+", plan))
    files = {path.stem for path in SOURCE.glob("*/*.py") if not path.stem.startswith("__")}
    assert sorted(files - words) == []
    code = "".join(path.read_text() for place in ("src", "docs/site") for path in (ROOT / place).rglob("*.py"))
    named = set(re.findall(r"`(\w*[A-Z]{2}\w*)`", plan))
    assert sorted(name for name in named if name not in code) == []
