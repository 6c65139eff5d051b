"""Several processes of one run without `torchrun`, as on machines of their own: each with its own words and folders."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from tiny import start

Said = tuple[int, str, str]
"""Exit code, standard output and standard error."""


def free_ports(count: int) -> list[str]:
    """Below 32768, where the system takes ports from for gloo's own connections, which come and go meanwhile."""
    ports: list[str] = []
    for port in np.random.default_rng(os.getpid()).permutation(np.arange(20_000, 32_000)):
        with suppress(OSError), socket.create_server(("", int(port))):
            ports.append(str(port))
        if len(ports) == count:
            break
    return ports


def begin(*words: list[str | Path], own: Sequence[Mapping[str, str]] = ()) -> list[subprocess.Popen[str]]:
    """One process for each list of words; `own` is added to the environment of each."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_ports(1)[0], "WORLD_SIZE": str(len(words))}
    mine = own or [{}] * len(words)
    return [
        start(*each, env={**shared, **mine[rank], "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank, each in enumerate(words)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[Said]:
    """What became of them; fails where one does not end in two minutes."""
    said = [process.communicate(timeout=120) for process in processes]
    return [(p.returncode, out, err) for p, (out, err) in zip(processes, said, strict=True)]
