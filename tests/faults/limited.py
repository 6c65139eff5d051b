"""Opening data in a process of bounded memory and time, so that no hostile file harms the machine that tests it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

READ = "read"
REFUSED = "refused"

_MOST_IMAGES = 64  # of one split that are decoded
_LONGEST_LINE = 600  # characters of a message beside the path, names of members and columns with it


def outcomes(files: Sequence[Path], *, mebibytes: int = 800, seconds: int = 5) -> dict[Path, tuple[str, str]]:
    """Opens each file as data and decodes its images → (READ, "…"), (REFUSED, message) or what else became of it.

    `mebibytes` may be taken beside what the interpreter and its libraries need, `seconds` of the processor a file.
    """
    results: dict[Path, tuple[str, str]] = {}
    waiting = list(files)
    while waiting:
        command = [sys.executable, __file__, str(mebibytes), str(seconds), *map(str, waiting)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for file, line in zip(waiting, lines, strict=False):
            results[file] = tuple(line)
        waiting = waiting[len(lines) :]
        if waiting:
            what = "hangs" if done.returncode in (-signal.SIGALRM, -signal.SIGPROF) else f"ends with {done.returncode}"
            results[waiting.pop(0)] = (what, done.stderr[-500:])
    return results


def contents(folder: Path, files: dict[str, bytes]) -> dict[str, tuple[str, str]]:
    """The outcome of each content, written into `folder` under its name."""
    for name, content in files.items():
        Path(folder, name).write_bytes(content)
    met = outcomes([Path(folder, name) for name in files])
    return {file.name: outcome for file, outcome in met.items()}


def _outcome(file: str) -> tuple[str, str]:
    from vitascope.data.open import open_data
    from vitascope.errors import DataError, ImageError

    read = unreadable = 0
    try:
        for source in open_data(file).present().values():
            for index in range(min(len(source), _MOST_IMAGES)):
                try:
                    source[index]
                    read += 1
                except ImageError as error:
                    unreadable += 1
                    if not _is_a_line(error, file):
                        return "no line for people", str(error)
    except DataError as error:
        return REFUSED if _is_a_line(error, file) else "no line for people", str(error)
    except Exception as error:
        return type(error).__name__, str(error)[:500]
    return READ, f"{read} images, {unreadable} unreadable"


def _is_a_line(error: Exception, file: str) -> bool:
    return "\n" not in str(error) and len(str(error).replace(file, "")) <= _LONGEST_LINE


def _main(mebibytes: int, seconds: int, files: list[str]) -> None:

    import vitascope.data.open
    import vitascope.data.sources.parquet
    import vitascope.data.sources.webdataset  # noqa: F401

    needed = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limit = needed + (mebibytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for file in files:
        signal.setitimer(signal.ITIMER_PROF, seconds)  # of this process, however busy the machine is
        signal.alarm(12 * seconds)
        line = json.dumps(_outcome(file))
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(line, flush=True)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
