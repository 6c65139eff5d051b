"""Where images come from: one kind of source per file. The table of them is in vitascope.data.open."""
