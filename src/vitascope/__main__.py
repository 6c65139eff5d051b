"""`vitascope` and `python -m vitascope`, which `torchrun -m vitascope` starts: signals are heard before all else."""

import os
import signal
import sys
from typing import NoReturn

from vitascope.interruption import handle, leave


def main() -> NoReturn:
    """Runs one command line and ends the process with its exit code."""
    handle(leave)
    from vitascope.cli import main as run

    code = run()
    handle(signal.SIG_IGN)  # what comes now comes too late, and Python's own end would not wait
    if os.environ.get("WORLD_SIZE", "1") == "1":
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # after an error the threads of a broken group would abort the process


if __name__ == "__main__":
    main()
