"""The guard of conftest.py: tests reach this machine and nothing else."""

from __future__ import annotations

import socket
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.support.network import NetworkBlockedError

OUTSIDE = "192.0.2.1"  # reserved for documentation (RFC 5737): nobody has it


def test_connecting_outside_raises() -> None:
    with socket.socket() as client, pytest.raises(NetworkBlockedError, match=r"socket.connect to '192\.0\.2\.1'"):
        client.connect((OUTSIDE, 80))


def test_connecting_outside_without_an_exception_of_its_own_raises_too() -> None:
    with socket.socket() as client, pytest.raises(NetworkBlockedError):
        client.connect_ex((OUTSIDE, 80))


def test_datagrams_to_the_outside_raise() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client, pytest.raises(NetworkBlockedError):
        client.sendto(b"x", (OUTSIDE, 53))


def test_names_of_the_outside_are_not_looked_up() -> None:
    with pytest.raises(NetworkBlockedError, match=r"getaddrinfo to 'example\.org'"):
        socket.getaddrinfo("example.org", 80)


def test_libraries_are_stopped_as_well() -> None:
    with pytest.raises(NetworkBlockedError):
        urllib.request.urlopen("https://example.org")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_works(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(server.accept()[0]))
        thread.start()
        with socket.create_connection((host, server.getsockname()[1])):
            thread.join()
        answers[0].close()


def test_local_sockets_work(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
