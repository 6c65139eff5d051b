"""One module per command: a function `run` of the command's dataclasses and a console; see `COMMANDS`."""
