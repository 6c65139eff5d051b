"""What a server may take and hold; free of torch, so that mistakes are told before it is loaded."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from vitascope.errors import ConfigError
from vitascope.fields import Range, check_fields, refuse_idle

Amount = Annotated[int, Range(1, 2**50)]
"""Bytes, pixels or images."""
Seconds = Annotated[float, Range(0.01, 10**6)]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Address, limits and patience of a server. Raises ConfigError where a value cannot be."""

    FIRST: ClassVar[tuple[str, ...]] = ("host", "port", "teach", "name", "allowed_hosts")

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets the whole network in, without any password."""
    port: Annotated[int, Range(0, 65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    name: str = ""
    """What the model is called in /v2/models/NAME; default: after the checkpoint."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which browsers may reach the server, without port; none: the loopback names on a loopback
    address, every name elsewhere. It keeps foreign pages from reaching a local server by a name of their own."""
    max_bytes: Amount = 32 * 2**20
    """Largest body of a request, in bytes."""
    max_pixels: Amount = 50_000_000
    """Largest height × width of an image, read from its header before it is decoded."""
    max_images: Amount = 32
    """Most images in one request."""
    intake_bytes: Amount = 256 * 2**20
    """Bodies of all requests together, and as much for answers on their way, in bytes; more are answered with 503."""
    queue: Amount = 256
    """Images that are being worked on or wait, of all requests together; more are answered with 503."""
    batch: Amount = 32
    """Most images in one forward pass."""
    batch_wait: Annotated[float, Range(0, 1)] = 0.002
    """Seconds that a first image waits for others to share its forward pass."""
    header_timeout: Seconds = 10.0
    """Seconds in which the head of a request must arrive, and in which a client must take something of its answer."""
    upload_timeout: Seconds = 60.0
    """Seconds in which the body of a request must arrive."""
    answer_timeout: Seconds = 120.0
    """Seconds in which it must be answered, after which it gets 503; a client has as long to take the answer."""
    drain_timeout: Seconds = 30.0
    """Seconds that requests in progress get to end after SIGTERM or Ctrl-C."""
    looks_bytes: Amount = 512 * 2**20
    """Memory for the insides of images looked at lately, in bytes; the longest unused is forgotten first."""

    log_requests: bool = False
    """Log a line for each request: its id, method, address, status and time."""
    teach: bool = False
    """Let whoever opens the page teach the model classes of their own, and download the model with them."""
    sessions: Annotated[int, Range(1, 10**4)] = 16
    """How many may teach at a time, each in a tab of their own; more are answered with 503."""
    session_bytes: Amount = 32 * 2**20
    """Memory for what one of them taught: features, small pictures, and what undoing takes, in bytes."""
    session_idle: Seconds = 3600.0
    """Seconds after which what nobody asked for is forgotten."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.teach:
            refuse_idle(self, "nobody can teach; give --teach", "sessions", "session_bytes", "session_idle")
        if self.name and not _NAME.fullmatch(self.name):
            raise ConfigError(f"name is {self.name!r}, expected letters, digits, '.', '_' and '-', at most 100")
        if wrong := [name for name in self.allowed_hosts if not re.fullmatch(r"[^\s,/]+", name)]:
            raise ConfigError(f"allowed_hosts has {wrong[0]!r}, expected a name; several are [a.example,b.example]")
        for larger, smaller in (("intake_bytes", "max_bytes"), ("queue", "max_images")):
            have, need = getattr(self, larger), getattr(self, smaller)
            if have < need:
                said = f"less than the {need} that {smaller} allows one request; raise {larger} or lower {smaller}"
                raise ConfigError(f"{larger} is {have}, {said}")

    @property
    def hosts(self) -> frozenset[str] | None:
        """Names that a Host header may give, lower case; None for every name."""
        if self.allowed_hosts:
            return frozenset(name.lower() for name in self.allowed_hosts)
        host = self.host.lower()
        return frozenset((*_LOOPBACK, host)) if _is_loopback(host) else None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name
        return False


def served_name(path: str) -> str:
    """A name for the URL from a checkpoint's path: "runs/flowers/model" → "flowers", "a b.npz" → "a-b"."""
    parts = [part for part in re.split(r"[/\\]+", path) if part not in ("", ".", "..", "model")]
    stem = re.sub(r"\.(safetensors|npz|pth?|bin)$", "", parts[-1] if parts else "")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100] or "model"
