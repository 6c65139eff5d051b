"""What several processes agree on: sums, the largest, the first one's word; and a resume that forgets nobody's loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ranks import free_ports
from tiny import pretrain_recipe, splits
from vitascope.errors import ConfigError
from vitascope.recipes.pretrain import pretrain
from vitascope.training.parallel import World, world

TOGETHER = '''
"""One of two processes: the collectives, then a run, and the same run cut off between two lines of its record."""
import faulthandler, json, os, sys
from pathlib import Path
faulthandler.dump_traceback_later(150, exit=True)  # where each of them waits, if they wait for each other
import numpy as np
from ranks import free_ports
from tiny import pretrain_recipe, splits
from vitascope.recipes import run
from vitascope.recipes.pretrain import pretrain
from vitascope.training import loop
from vitascope.training.parallel import world

folder, ports = Path(sys.argv[1]), sys.argv[2:]

def next_port():
    os.environ["MASTER_PORT"] = ports.pop()

next_port()
with world("cpu") as w:
    said = {
        "rank": w.rank, "size": w.size, "first": w.first, "sum": w.sum(np.array([w.rank + 1.0, 10.0])).tolist(),
        "largest": w.largest(7 * w.rank), "first_says": w.first_says(0.5 + w.rank),
    }
    w.wait()
print(json.dumps(said))

run.draw_curves = lambda folder: None

def train(name, changes={}, **options):
    next_port()
    recipe = pretrain_recipe(folder / name, steps=6, log_every=4, save_every=2, eval_every=6, **changes)
    pretrain(recipe, splits=splits(), **options)

train("whole")
real = loop.training_step

def crash(job, state, *rest):
    if state.counters.step == 3:
        raise OSError("power cut")
    real(job, state, *rest)

loop.training_step = crash
for name, changes in (("cut", {}), ("handed over", {"optimizer": "sgd", "lr": 0.1})):
    try:
        train(name, changes)
    except OSError:
        pass
loop.training_step = real
train("cut", {"checkpoint_activations": True}, resume=True)  # which changes nothing but memory
'''


@pytest.mark.usefixtures("no_pictures")
def test_two_processes_agree_and_resume_with_the_losses_of_both(tmp_path: Path) -> None:
    words = [sys.executable, "-c", TOGETHER, str(tmp_path), *free_ports(5)]
    shared = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2"}
    with ThreadPoolExecutor(2) as pool:

        def start(rank: int) -> subprocess.CompletedProcess[str]:
            env = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            return subprocess.run(words, env=env, capture_output=True, text=True, timeout=240, check=False)

        answers = list(pool.map(start, range(2)))
    assert [a.returncode for a in answers] == [0, 0], "\n\n".join(a.stderr for a in answers)
    common = {"size": 2, "sum": [3.0, 20.0], "largest": 7, "first_says": 0.5}
    for rank, answer in enumerate(answers):
        assert json.loads(answer.stdout.splitlines()[0]) == {**common, "rank": rank, "first": rank == 0}
    whole, cut = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut"))
    assert cut == whole

    # One process goes on where two stopped: the same images, hence the same weights but for rounding.
    settings = {"steps": 6, "log_every": 4, "save_every": 2, "eval_every": 6, "optimizer": "sgd", "lr": 0.1}
    pretrain(pretrain_recipe(tmp_path / "handed over", **settings), splits=splits(), resume=True)
    pretrain(pretrain_recipe(tmp_path / "alone", **settings), splits=splits())
    handed, alone = (load_file(tmp_path / n / "model" / "model.safetensors") for n in ("handed over", "alone"))
    for name, tensor in alone.items():
        torch.testing.assert_close(handed[name], tensor, rtol=0, atol=1e-5, msg=lambda said, name=name: f"{name}{said}")


def test_a_process_alone_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with world("cpu") as w:
        assert w == World(rank=0, size=1, device=torch.device("cpu"))
        values = np.array([1.5, 2.5])
        assert w.sum(values) is values
        assert (w.largest(3), w.first_says(0.25), w.first) == (3, 0.25, True)
        w.wait()


def test_more_processes_than_gpus_is_said_before_they_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("vitascope.training.parallel.resolve_device", lambda device: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="no GPU of its own, there are 1; start as many processes"), world("cuda"):
        pass
