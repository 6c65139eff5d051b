"""What a server is called, and where it may be reached."""

from __future__ import annotations

from typing import Any

import pytest

from vitascope.errors import ConfigError
from vitascope.web.settings import ServeSettings, served_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/flowers", "flowers"),
        ("runs/flowers/model", "flowers"),
        ("runs/flowers/model/", "flowers"),
        ("B_16.npz", "B_16"),
        ("/a/vit base (1).safetensors", "vit-base-1"),
        ("C:\\runs\\birds", "birds"),
        ("../..", "model"),
        ("model", "model"),
        ("ü", "model"),
        ("x" * 200, "x" * 100),
    ],
)
def test_a_model_is_called_after_its_checkpoint(path: str, name: str) -> None:
    assert served_name(path) == name
    assert ServeSettings(name=served_name(path)).name == name


def test_loopback_addresses_have_loopback_names() -> None:
    assert ServeSettings().hosts == {"localhost", "127.0.0.1", "::1"}
    assert ServeSettings(host="127.0.0.2").hosts == {"localhost", "127.0.0.1", "::1", "127.0.0.2"}
    assert ServeSettings(host="LocalHost").hosts == ServeSettings().hosts
    for host in ("0.0.0.0", "::", "192.168.1.2", "box"):
        assert ServeSettings(host=host).hosts is None
    assert ServeSettings(host="0.0.0.0", allowed_hosts=("Example.org",)).hosts == {"example.org"}
    assert len(ServeSettings(allowed_hosts=tuple("abcdefghijkl")).hosts or ()) == 12


@pytest.mark.parametrize("idle", [{"sessions": 3}, {"session_bytes": 10**6}, {"session_idle": 5.0}])
def test_limits_of_teaching_are_refused_where_nobody_teaches(idle: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="nobody can teach; give --teach"):
        ServeSettings(**idle)
    assert ServeSettings(teach=True, **idle)
