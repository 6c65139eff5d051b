"""What every test gets: one thread per process, and caches that are not the user's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from depot import NAME, Depot, serving, stand_in

# Before torch is imported: small tensors gain nothing from threads, and processes started here inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing is fetched from outside: where weights come from by name, nobody answers.
NOBODY = "http://127.0.0.1:9"
os.environ |= {"HF_ENDPOINT": NOBODY, "STORAGE_EMULATOR_HOST": NOBODY, "HF_HUB_DISABLE_TELEMETRY": "1"}


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C works as in a terminal: a shell's background jobs are started with it ignored, and tests send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the session's own, in place of the user's."""
    folder = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setenv("VITASCOPE_CACHE", str(folder))
    patch.setenv("MPLCONFIGDIR", str(folder))
    patch.setenv("HF_HOME", str(folder / "huggingface"))
    yield folder
    patch.undo()


@pytest.fixture
def cold_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of the test's own: nothing was computed before."""
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`stop_after(k, signal.SIGTERM)`: the signal comes while step k − 1 (the k-th) is being computed, once."""
    from vitascope.training import loop

    real = loop.training_step
    when: dict[int, int] = {}

    def step(job: Any, state: Any, *rest: Any) -> None:
        real(job, state, *rest)
        if state.counters.step in when:
            os.kill(os.getpid(), when.pop(state.counters.step))

    monkeypatch.setattr(loop, "training_step", step)
    yield lambda k, number=signal.SIGTERM: when.update({k: number})
    assert not when, f"nothing stopped at {when}"


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without the picture of their curves and without their report, which take longer than their training."""
    monkeypatch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    for recipe in ("run", "teach"):
        monkeypatch.setattr(f"vitascope.recipes.{recipe}.write_run_report", lambda folder, report: None)


@pytest.fixture
def real_data() -> Path:
    """The folder of real images, which the repository does not hold; skips, visibly, without it."""
    data = Path(os.environ.get("VITASCOPE_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (data / "ants_bees").is_dir():
        pytest.skip("no real images: set VITASCOPE_TEST_DATA to the folder that holds ants_bees and cifar100")
    return data


@pytest.fixture
def depot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Depot]:
    """A server in place of the Hub and the buckets, for this process; the caches are empty."""
    with serving(Depot()) as depot:
        stand_in(depot.url, tmp_path / "cache", monkeypatch)
        yield depot


@pytest.fixture
def hub(depot: Depot, tmp_path: Path) -> Depot:
    """`depot` with a tiny ViT for three classes, as transformers writes it."""
    import vitascope as vs
    from tiny_checkpoint import checkpoint

    vs.save(checkpoint(), tmp_path / "tiny", format="huggingface")
    depot.add(NAME, tmp_path / "tiny")
    return depot
