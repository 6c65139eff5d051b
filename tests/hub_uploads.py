"""The Hub's protocol for uploads, for `depot`: repositories made, files announced, sent apart if large, committed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depot import Depot

Answer = tuple[int, dict[str, str], Any]
"""Status, headers, and what becomes JSON."""


def answer(held: Depot, method: str, path: str, token: str, body: bytes, commit: str) -> Answer:
    """To a POST or a PUT; `held` remembers what was sent."""
    if found := re.fullmatch(r"/store/([0-9a-f]{64})", path):
        held.sent[found[1]] = body[:-1] if held.spoil else body
        return 200, {}, {}
    given = json.loads(body) if body and "/commit/" not in path else {}
    if path == "/api/validate-yaml":
        return 200, {}, {"errors": [], "warnings": []}
    if held.refusals.get(path):
        return held.refusals[path], {"X-Error-Message": "so it is"}, {"error": "so it is"}
    if token not in held.writers:
        return 401, {"X-Error-Message": "Invalid username or password."}, {"error": "Invalid username or password."}
    if path == "/api/repos/create":
        return _create(held, f"{given['organization']}/{given['name']}", given, token)
    if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
        files = [
            {"path": each["path"], "uploadMode": _mode(each["path"]), "shouldIgnore": False} for each in given["files"]
        ]
        return 200, {}, {"files": files}
    if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
        objects = [
            {**each, "actions": {"upload": {"href": f"{held.url}/store/{each['oid']}"}}} for each in given["objects"]
        ]
        return 200, {}, {"transfer": "basic", "objects": objects}
    if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
        return _commit(held, found[1], body, commit)
    return 404, {}, {}


def _create(held: Depot, name: str, given: dict[str, Any], token: str) -> Answer:
    if name.partition("/")[0] not in held.writers[token]:
        return 403, {}, {"error": "You don't have the rights to create a model under this namespace"}
    if name in held.repositories:
        return 409, {}, {"error": "You already created this model repo"}
    held.repositories[name] = {".gitattributes": b""}
    held.private[name] = given.get("visibility") == "private"
    return 200, {}, {"url": f"{held.url}/{name}"}


def _commit(held: Depot, name: str, body: bytes, commit: str) -> Answer:
    head, *entries = [json.loads(line) for line in body.splitlines()]
    if head["value"].get("parentCommit") not in (None, commit):
        return 412, {}, {"error": "A commit has happened since."}
    files = held.repositories[name]
    for entry in entries:
        value = entry["value"]
        if entry["key"] == "lfsFile":
            content = held.sent[value["oid"]]
            assert held.spoil or hashlib.sha256(content).hexdigest() == value["oid"]
            files[value["path"]] = content
        else:
            assert entry["key"] == "file"
            files[value["path"]] = base64.b64decode(value["content"])
    return 200, {}, {"success": True, "commitOid": commit, "commitUrl": f"{held.url}/{name}/commit/{commit}"}


def _mode(name: str) -> str:
    return "lfs" if name.endswith((".safetensors", ".bin")) else "regular"
