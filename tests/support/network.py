"""A network guard for tests: loopback and local sockets work, anything else raises."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

__all__ = ["NetworkBlockedError", "block_network"]

LOCAL_NAMES = frozenset({"", "localhost", "ip6-localhost"})


class NetworkBlockedError(RuntimeError):
    """A test tried to leave the machine."""


def block_network() -> None:
    """Let this process talk to itself only; an audit hook sees every socket, whichever library opens it.

    The hook cannot be taken out again, which is what a guard is for.
    """
    sys.addaudithook(_refuse_the_outside)


def _refuse_the_outside(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        host = _host(arguments[1])
    elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}:
        host = arguments[0]
    else:
        return
    if not _is_local(host):
        raise NetworkBlockedError(f"tests must not reach the network: {event} to {host!r}")


def _host(address: Any) -> Any:
    """Return the host of an internet address, and None for a local (AF_UNIX) socket or a connected one."""
    return address[0] if isinstance(address, tuple) else None


def _is_local(host: Any) -> bool:
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name.lower() in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False
