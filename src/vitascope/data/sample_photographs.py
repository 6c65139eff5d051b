"""Two photographs that come with scikit-learn, so that there are real ones wherever this package is."""

from importlib.resources import files

NAMES = ("flower", "china")


def sample_photograph(name: str) -> bytes:
    """One of `NAMES` as a JPEG file, 640 pixels wide and 427 high."""
    return (files("sklearn.datasets.images") / f"{name}.jpg").read_bytes()
