"""The command line: arguments → typed recipe → one call. torch is imported inside commands only."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

from vitascope.cli.arguments import Arguments
from vitascope.cli.console import Console
from vitascope.cli.help import columns, help_text, listed
from vitascope.cli.options import Described
from vitascope.cli.plain import is_plain, prepare
from vitascope.data.open import recognise
from vitascope.errors import Stopped, UserError, VitascopeError
from vitascope.interruption import interruptible, number_of
from vitascope.version import __version__
from vitascope.wording import meant, printable, reason

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("", "the whole path on data that comes with the package"),
    "train": ("data", "from photographs to a trusted classifier: checked, taught, fine-tuned in the time there is"),
    "check": ("data", "counts, sizes, classes, every unreadable or doubtful file of a data set"),
    "pretrain": ("data", "train from scratch with the paper's pre-training head"),
    "finetune": ("checkpoint data", "continue from a checkpoint on other data, at another resolution"),
    "teach": ("checkpoint data", "an exact classifier in seconds, in closed form on a checkpoint's features"),
    "enough": ("data", "what more photographs would bring: accuracy now, of twice and of four times as many"),
    "evaluate": ("checkpoint data", "accuracy, loss, calibration of a checkpoint, per class"),
    "compare": ("runs", "checkpoints and runs on the same images: accuracy, differences, costs, options"),
    "fewshot": ("checkpoint data", "accuracy of frozen features after a few images per class"),
    "predict": ("checkpoint paths", "labels and probabilities for image files and folders"),
    "embed": ("checkpoint paths", "what a checkpoint's last layer sees of image files and folders, as a file"),
    "similar": ("checkpoint image paths", "images like a given one, and those that decided a taught answer"),
    "inspect": ("checkpoint others", "every view of the internals as picture and as numbers, and one page"),
    "study data-scaling": ("source target", "accuracy of ViTs and ResNets against the number of images (Figures 3, 4)"),
    "study compute": ("source target", "accuracy against the computation of pre-training (Figure 5)"),
    "study ablation": (
        "name source target",
        "variants of one model: positions, head, shape, others",
    ),
    "study cost": ("", "speed and largest batch against image size (Figure 12)"),
    "study inductive-bias": ("checkpoints", "how local and equivariant each layer is, checkpoints side by side"),
    "serve": ("checkpoint", "predictions over HTTP, and a page to look inside"),
    "convert": ("checkpoint out", "write a checkpoint in another format"),
    "push": ("checkpoint repository", "send a checkpoint with its model card to the Hugging Face Hub"),
    "export": ("checkpoint out", "write a checkpoint for deployment, checked against the model"),
    "models": ("", "the catalogue of models"),
    "data": ("", "the kinds and names of data"),
    "doctor": ("", "what vitascope runs on: versions, processor, memory, caches, what is missing or broken"),
    "completion": ("shell", "a script that completes these commands and their options in bash, zsh or fish"),
}
"""Name → what is given by place, what it does. Its first word is a module of `vitascope.cli.commands`, and in it
`run`, or the second word, with _ for -, is a function of dataclasses, whose fields are the command's options, and of
a `Console`; it shows what it did and returns what --json prints. It imports torch inside."""


def main(argv: list[str] | None = None) -> int:
    """Runs one command line; returns the exit code: 0 done, 2 the user can mend it, 143/130 stopped, 1 otherwise."""
    # torch's threads wait for each other busily, which on a machine with other work to do keeps them from each other:
    # there two took several times as long as one. It must be said before torch is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    prepare(sys.stdout, sys.stderr)
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except OSError as error:  # only what is printed here: of a command's own errors `_run` speaks
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader of our output, such as head, has had enough
            return 0
        return _fail("", f"standard output cannot be written ({error.strerror})", 1)


def _main(words: list[str]) -> int:
    if words[:1] == ["help"] and words[1:]:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help", "--help-all", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] in ("--version", "-V"):
        print(f"vitascope {__version__}")
        return 0
    length = 2 if words[0] in {name.split()[0] for name in COMMANDS if " " in name} else 1
    name = " ".join(words[:length])
    if name in COMMANDS:
        return _run(name, words[length:])
    group = [command for command in COMMANDS if command.startswith(f"{words[0]} ")]
    if group and words[1:2] in (["-h"], ["--help"]):
        print(_help(group))
        return 0
    # Of a group it is the second word that may be mistyped: a short one is near to any of so many common letters.
    before = f"{words[0]} "
    seconds = [command.removeprefix(before) for command in group]
    perhaps = meant("".join(words[1:2]), seconds, group, before) if group else meant(name, COMMANDS)
    print(f"vitascope: error: no command {name!r}; {perhaps}", file=sys.stderr)
    return 2


def described(name: str) -> Described:
    """What a command takes, for help and completion."""
    return Described(name, *COMMANDS[name], _function(name))


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(" ")
    found = getattr(import_module(f"vitascope.cli.commands.{module}"), function.replace("-", "_") or "run")
    return cast(Callable[..., Any], found)


def _run(name: str, words: list[str]) -> int:
    options = [word.replace("_", "-") for word in (words[: words.index("--")] if "--" in words else words)]
    if "--help-all" in options or {"-h", "--help"} & set(options):
        print(help_text(described(name), everything="--help-all" in options))
        return 0
    command = _function(name)
    console = Console(json_only="--json" in options)
    try:
        with interruptible():  # training saves at a signal and stops by itself; everything else ends here, in order
            settings = Arguments(name, *COMMANDS[name], command).parse(words)
            _refuse_early(settings)
            console.start(verbose="--verbose" in options)
            result: dict[str, Any] = command(*settings, console)
    except UserError as error:
        return 2 if console.silent and error.told_by_first else _fail(name, str(error), 2)
    except Stopped as error:
        said = f"{error}; {error.remedy}" if error.remedy else str(error)
        return error.exit_code if console.silent else _fail(name, said, error.exit_code)
    except KeyboardInterrupt as error:
        number = number_of(error)
        said = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        return 128 + number if console.silent else _fail(name, said, 128 + number)
    except SystemExit:  # --print-config, which the parser prints; rich, whose reader has had enough
        return 0
    except BrokenPipeError:
        raise
    except VitascopeError as error:
        return _fail(name, str(error), 1)
    except OSError as error:
        if error.errno not in _REFUSALS or not error.filename:
            return _unexpected(name, error)
        shown = printable(os.fsdecode(error.filename))
        shown = shown if len(shown) <= 100 else f"{shown[:100]}…"
        return _fail(name, f"{shown} cannot be read or written ({reason(error).lower()}); choose another place", 2)
    except Exception as error:
        return _unexpected(name, error)
    finally:
        console.stop()
    if console.json_only and not console.silent:
        told = {key: value for key, value in result.items() if key != "exit_code"}
        print(json.dumps(told, ensure_ascii=is_plain(sys.stdout)))
    return int(result.get("exit_code", 0))


def _refuse_early(settings: list[Any]) -> None:
    """`DataError` for what names no data, before torch is loaded; of several processes all must hear of it."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        for data in (getattr(part, name, None) for part in settings for name in ("data", "test")):
            if data:
                recognise(data)


def _fail(name: str, message: str, code: int) -> int:
    said = f"{'error: ' if code in (1, 2) else ''}{' '.join(message.split())}"
    print(f"{f'vitascope {name}'.rstrip()}: {said}", file=sys.stderr)
    return code


_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
"""What a file system says of a place that the user has named, wherever it is first looked at."""
_MEMORY = "not enough memory; try a smaller --micro-batch, --batch or --image-size"
_REMEDIES = {
    "dataloader worker": "a data worker died; try fewer --workers (0 reads in this process) or more shared memory",
    "shared memory": "no shared memory is left for data workers; try fewer --workers (0 reads in this process)",
    "out of memory": _MEMORY,
    "allocate memory": _MEMORY,
    "unable to allocate": _MEMORY,
    "no space left": "the disk is full; free some space and go on with --resume",
}


def _unexpected(name: str, error: Exception) -> int:
    said = " ".join(str(error).split())[:300]
    for symptom, remedy in _REMEDIES.items():
        if symptom in said.lower():
            return _fail(name, f"{remedy} ({said})", 1)
    if isinstance(error, MemoryError):
        return _fail(name, _MEMORY, 1)
    traceback.print_exception(error)
    return _fail(name, f"this should not have happened; please report the lines above with vitascope {__version__}", 1)


def _help(names: Sequence[str] = tuple(COMMANDS)) -> str:
    return "\n".join(
        [
            "vitascope: Vision Transformers, from photographs to a classifier to look into.",
            "",
            "usage: vitascope COMMAND …        (vitascope COMMAND --help tells more)",
            "",
            *listed([(f"  {name}", COMMANDS[name][1]) for name in names], columns()),
            "",
            "Begin with: vitascope demo, or vitascope train photos/ --out runs/mine",
        ]
    )
