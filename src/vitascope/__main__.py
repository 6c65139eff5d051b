"""`python -m vitascope`, which is what `torchrun -m vitascope` starts."""

from vitascope.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
