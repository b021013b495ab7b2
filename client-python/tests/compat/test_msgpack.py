"""The MessagePack of the drop-ins."""

from __future__ import annotations

import struct
from typing import Any, List

import pytest

from folkmoot.compat._msgpack import DEPTH_MAX, Malformed, Unpacker, pack

VALUES: List[Any] = [
    None,
    True,
    False,
    *[sign * (1 << bits) + step for bits in range(63) for sign in (1, -1) for step in (-1, 0, 1)],
    (1 << 64) - 1,
    -(1 << 63),
    1.5,
    "",
    "x" * 31,
    "x" * 32,
    "ü" * 40000,
    [],
    list(range(15)),
    list(range(16)),
    list(range(70000)),
    {},
    {"key": [{"inner": {"deep": None}}], "other": -1},
    {str(number): number for number in range(70000)},
]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_what_is_packed_is_read_again_in_pieces_of_any_size(size: int) -> None:
    data = b"".join(pack(value) for value in VALUES if size > 1 or len(pack(value)) < 1000)
    expected = [value for value in VALUES if size > 1 or len(pack(value)) < 1000]
    unpacker, read = Unpacker(), []
    for start in range(0, len(data), size):
        unpacker.feed(data[start : start + size])
        read.extend(unpacker)
    assert read == expected


def test_text_and_bytes_are_written_alike_and_text_carries_any_bytes() -> None:
    assert pack(b"abc") == pack("abc") == b"\xa3abc"
    wild = bytes(range(256))
    unpacker = Unpacker()
    unpacker.feed(b"\xda\x01\x00" + wild + b"\xc4\x02\xff\x00" + b"\xd9\x01x" + b"\xca\x3f\x80\x00\x00")
    text, raw, short, number = unpacker
    assert text.encode("utf-8", "surrogateescape") == wild and pack(text)[3:] == wild
    assert (raw, short, number) == (b"\xff\x00", "x", 1.0)


@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * (DEPTH_MAX + 1),
        b"\xc1",
        b"\xc7\x01\x01\x01",
        b"\xdb" + struct.pack(">I", 1 << 30),
        b"\x81\x90\x01",
    ],
    ids=["too deep", "no value", "extension", "too long", "key"],
)
def test_what_is_beyond_reason_is_refused(data: bytes) -> None:
    unpacker = Unpacker()
    unpacker.feed(data)
    with pytest.raises(Malformed):
        list(unpacker)


def test_what_has_no_form_is_not_packed() -> None:
    with pytest.raises(TypeError):
        pack(object())
    with pytest.raises(OverflowError):
        pack(1 << 64)
    endless: List[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError):
        pack(endless)
