"""What calls answer with."""

# Untyped by nature: what is in answers, pickles and arguments of programs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import ipaddress
from typing import Any, Dict, Iterator


class Fields(Dict[Any, Any]):
    """A map of an answer, by `str` keys, with text as `str` and payloads and addresses as bytes.

    A program from the time before msgpack 1.0 asks with bytes, and is answered as it was: text as bytes, and `Addr` as
    written (`b'10.0.0.1'`). What it finds inside is in that form altogether.
    """

    def __missing__(self, key: Any) -> Any:
        if not isinstance(key, bytes):
            raise KeyError(key)
        name = key.decode("utf-8", "surrogateescape")
        if not dict.__contains__(self, name):
            raise KeyError(key)
        return _of_old(name, self[name])

    def __contains__(self, key: object) -> bool:
        if isinstance(key, bytes):
            key = key.decode("utf-8", "surrogateescape")
        return super().__contains__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self else default

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) or (isinstance(other, dict) and _of_old("", self) == other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


def _of_old(name: str, value: Any) -> Any:
    """A field as msgpack before 1.0, and serfclient's treatment of addresses, gave it."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_of_old("", item) for item in value]
    if isinstance(value, dict):
        return {_of_old("", key): _of_old(str(key), item) for key, item in value.items()}
    if name == "Addr" and isinstance(value, bytes) and len(value) in (4, 16):
        return _written(value)
    return value


def _written(address: bytes) -> bytes:
    """An address of 4 or 16 bytes in its written form; IPv4 inside IPv6 is written as IPv4."""
    if address.startswith(b"\0" * 10 + b"\xff\xff"):
        address = address[12:]
    # Not by `socket.inet_ntop`: PySyncObj replaces that by one that works on Windows only.
    return str(ipaddress.ip_address(address)).encode()


class SerfResult:
    """Header and body of an answer: `head, body = result`. `body` is None where there is none; that of a stream yields
    further results."""

    def __init__(self, head: Any = None, body: Any = None) -> None:
        self.head, self.body = head, body

    def __iter__(self) -> Iterator[Any]:
        yield self.head
        yield self.body

    def __repr__(self) -> str:
        return "%s<head=%s,body=%s>" % (type(self).__name__, self.head, self.body)
