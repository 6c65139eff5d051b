"""The paper's own files by name, from the authors' public buckets: `google:augreg/S_16-…`, `google:BiT-M-R50x1`.

vit_models: github.com/google-research/vision_transformer; bit_models: github.com/google-research/big_transfer.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.parse

from vitascope.cache import cache_folder
from vitascope.checkpoints.named import Located, UnreachableError, nearest, offline
from vitascope.download import OF_THE_DISK, download
from vitascope.errors import CheckpointError
from vitascope.whole import sha256
from vitascope.wording import reason

STORAGE = "https://storage.googleapis.com"
"""Where the buckets are; $STORAGE_EMULATOR_HOST, as Google's own libraries read it, names another place."""


def fetch(path: str, *, cached: bool = False) -> Located:
    """FOLDER/FILE of vit_models, or a file of bit_models, with or without .npz. Raises `CheckpointError`."""
    name = f"google:{path}"
    inside = path if path.endswith(".npz") else f"{path}.npz"
    inside = f"{'vit_models' if '/' in path else 'bit_models'}/{inside}"
    url = f"{(os.environ.get('STORAGE_EMULATOR_HOST') or STORAGE).rstrip('/')}/{urllib.parse.quote(inside, safe='/+')}"
    place = cache_folder() / inside
    by_hand = f"fetch {url} where there is a network, and put it at {place}"
    if not place.is_file():
        if cached or offline():
            why = "is not in the cache" if cached else "is not in the cache, and HF_HUB_OFFLINE is set"
            raise UnreachableError(f"{name} {why}{nearest(name)}; {by_hand}")
        try:
            download(url, place)
        except urllib.error.HTTPError as error:
            if error.code in (403, 404):  # without the right to list a bucket, what is not there is forbidden
                told = f"{name}: there is no {url}{nearest(name)}"
                raise CheckpointError(f"{told}; augreg/index.csv in vit_models lists AugReg's files") from error
            raise UnreachableError(f"{name}: {url} answers {error.code} ({reason(error)}); try again later") from error
        except OSError as error:
            here = error.filename is not None or error.errno in OF_THE_DISK
            known = CheckpointError if here else UnreachableError
            raise known(f"{name} cannot be fetched ({reason(error)}){nearest(name)}; {by_hand}") from error
    return Located(place=place, fetched={"name": name, "url": url, "sha256": {place.name: sha256(place)}})
