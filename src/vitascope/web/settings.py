"""What a server may take and hold; free of torch, so that mistakes are told before it is loaded."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass

from vitascope.errors import ConfigError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Address, limits and patience of a server. Raises ConfigError where a value cannot be."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets the whole network in, without any password."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    name: str = "model"
    """What the model is called in /v2/models/NAME; default: after the checkpoint."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which browsers may reach the server, without port; none: the loopback names on a loopback
    address, every name elsewhere. It keeps foreign pages from reaching a local server by a name of their own."""
    max_bytes: int = 32 * 2**20
    """Largest body of a request, in bytes."""
    max_pixels: int = 50_000_000
    """Largest height × width of an image, read from its header before it is decoded."""
    max_images: int = 32
    """Most images in one request."""
    intake_bytes: int = 256 * 2**20
    """Bodies of all requests together, and as much for answers on their way, in bytes; more are answered with 503."""
    queue: int = 256
    """Images that are being worked on or wait, of all requests together; more are answered with 503."""
    batch: int = 32
    """Most images in one forward pass."""
    batch_wait: float = 0.002
    """Seconds that a first image waits for others to share its forward pass."""
    header_timeout: float = 10.0
    """Seconds in which the head of a request must arrive, and in which a client must take something of its answer."""
    upload_timeout: float = 60.0
    """Seconds in which the body of a request must arrive."""
    answer_timeout: float = 120.0
    """Seconds in which it must be answered, after which it gets 503; a client has as long to take the answer."""
    drain_timeout: float = 30.0
    """Seconds that requests in progress get to end after SIGTERM or Ctrl-C."""
    looks_bytes: int = 512 * 2**20
    """Memory for the insides of images looked at lately, in bytes; the longest unused is forgotten first."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_images", "intake_bytes", "queue", "batch", "looks_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("header_timeout", "upload_timeout", "answer_timeout", "drain_timeout"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} is {getattr(self, name)}, expected seconds above 0")
        if not 0 <= self.batch_wait <= 1:
            raise ConfigError(f"batch_wait is {self.batch_wait}, expected seconds from 0 to 1")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}, expected 0 to 65535")
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"name is {self.name!r}, expected letters, digits, '.', '_' and '-', at most 100")
        for larger, smaller in (("intake_bytes", "max_bytes"), ("queue", "max_images")):
            if getattr(self, larger) < getattr(self, smaller):
                raise ConfigError(
                    f"{larger} is {getattr(self, larger)}, less than the {getattr(self, smaller)} that "
                    f"{smaller} allows one request; raise {larger} or lower {smaller}"
                )

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
