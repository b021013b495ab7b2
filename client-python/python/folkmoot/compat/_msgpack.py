"""MessagePack as Serf's RPC has it, for the drop-ins that hand out raw answers.

Text and bytes are both written in the raw form of the first MessagePack, which agents of every age take for either. What
is read as text is `str`; bytes that are no UTF-8 travel through it unharmed (`surrogateescape`).
"""

# Untyped by nature: what is in answers, pickles and arguments of programs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import struct
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

#: Containers within containers; the depth that our agents accept. Deeper data is refused.
DEPTH_MAX = 64
#: Bytes of one text, byte string or unread rest. Ours: beyond the answer about 65,536 members. More is refused.
BYTES_MAX = 256 * 1024 * 1024

_NUMBERS = {
    0xCA: struct.Struct(">f"),
    0xCB: struct.Struct(">d"),
    0xCC: struct.Struct(">B"),
    0xCD: struct.Struct(">H"),
    0xCE: struct.Struct(">I"),
    0xCF: struct.Struct(">Q"),
    0xD0: struct.Struct(">b"),
    0xD1: struct.Struct(">h"),
    0xD2: struct.Struct(">i"),
    0xD3: struct.Struct(">q"),
}
_LENGTHS = {
    0xC4: (">B", "bytes"),
    0xC5: (">H", "bytes"),
    0xC6: (">I", "bytes"),
    0xD9: (">B", "text"),
    0xDA: (">H", "text"),
    0xDB: (">I", "text"),
    0xDC: (">H", "list"),
    0xDD: (">I", "list"),
    0xDE: (">H", "map"),
    0xDF: (">I", "map"),
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class Malformed(ValueError):
    """What came is no MessagePack, or nested or sized beyond all reason."""


def pack(value: Any) -> bytes:
    """One value as MessagePack. Raises `TypeError` for what has no form in it."""
    out = bytearray()
    _pack(value, out, 0)
    return bytes(out)


def _pack(value: Any, out: bytearray, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ValueError("nested too deeply")
    if value is None:
        out.append(0xC0)
    elif isinstance(value, bool):
        out.append(0xC3 if value else 0xC2)
    elif isinstance(value, int):
        _pack_integer(value, out)
    elif isinstance(value, float):
        out.append(0xCB)
        out += struct.pack(">d", value)
    elif isinstance(value, str):
        _pack_raw(value.encode("utf-8", "surrogateescape"), out)
    elif isinstance(value, (bytes, bytearray)):
        _pack_raw(bytes(value), out)
    elif isinstance(value, (list, tuple)):
        _pack_header(len(value), 0x90, 0xDC, out)
        for item in value:
            _pack(item, out, depth + 1)
    elif isinstance(value, dict):
        _pack_header(len(value), 0x80, 0xDE, out)
        for key, item in value.items():
            _pack(key, out, depth + 1)
            _pack(item, out, depth + 1)
    else:
        raise TypeError("can not serialize %r object" % type(value).__name__)


def _pack_integer(value: int, out: bytearray) -> None:
    if -32 <= value < 128:
        out += struct.pack(">b", value)
        return
    signs = range(0xD0, 0xD4) if value < 0 else range(0xCC, 0xD0)
    for code in signs:
        try:
            packed = _NUMBERS[code].pack(value)
        except struct.error:
            continue
        out.append(code)
        out += packed
        return
    raise OverflowError("integer beyond 64 bits")


def _pack_raw(value: bytes, out: bytearray) -> None:
    if len(value) < 32:
        out.append(0xA0 | len(value))
    elif len(value) < 0x10000:
        out += struct.pack(">BH", 0xDA, len(value))
    else:
        out += struct.pack(">BI", 0xDB, len(value))
    out += value


def _pack_header(length: int, small: int, large: int, out: bytearray) -> None:
    if length < 16:
        out.append(small | length)
    elif length < 0x10000:
        out += struct.pack(">BH", large, length)
    else:
        out += struct.pack(">BI", large + 1, length)


class _More(Exception):
    """More bytes are needed."""


class Unpacker:
    """Reads values out of bytes that come in pieces. What has been read of a value is kept until its rest comes."""

    def __init__(self, map_type: Callable[[], Dict[Any, Any]] = dict) -> None:
        self._map_type = map_type
        self._buffer = bytearray()
        self._position = 0
        # Containers that are not complete: the container, how many values it still wants, and the key of a map that
        # waits for its value, as a list of one.
        self._open: List[Tuple[Any, List[int], List[Any]]] = []

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        del self._buffer[: self._position]
        self._position = 0
        if len(self._buffer) + len(data) > BYTES_MAX:
            raise Malformed("a value of more than %d bytes" % BYTES_MAX)
        self._buffer += data

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next complete value. `StopIteration` where more bytes are needed for one; iterate again after them."""
        complete, value = self._step()
        while not complete:
            complete, value = self._step()
        return value

    def _step(self) -> Tuple[bool, Any]:
        try:
            value, wants = self._token()
        except _More:
            raise StopIteration from None
        if wants:
            if len(self._open) >= DEPTH_MAX:
                raise Malformed("nested too deeply")
            self._open.append((value, [wants], []))
            return False, None
        return self._place(value)

    def _place(self, value: Any) -> Tuple[bool, Any]:
        """Puts a value into the innermost open container, and what this completes into the next one."""
        while self._open:
            container, wants, key = self._open[-1]
            if isinstance(container, list):
                container.append(value)
            elif not key:
                _check_key(value)
                key.append(value)
            else:
                container[key.pop()] = value
            wants[0] -= 1
            if wants[0]:
                return False, None
            self._open.pop()
            value = container
        return True, value

    def _token(self) -> Tuple[Any, int]:
        """A value, or an empty container and how many values belong into it."""
        code = self._bytes(self._position, 1)[0]
        start = self._position + 1
        if code < 0x80 or code >= 0xE0:
            self._position = start
            return (code if code < 0x80 else code - 0x100), 0
        if code in _CONSTANTS:
            self._position = start
            return _CONSTANTS[code], 0
        number = _NUMBERS.get(code)
        if number is not None:
            value = number.unpack(self._bytes(start, number.size))[0]
            self._position = start + number.size
            return value, 0
        if code < 0xC0:
            kind = "map" if code < 0x90 else "list" if code < 0xA0 else "text"
            return self._sized(kind, code & (0x1F if kind == "text" else 0x0F), start)
        if code not in _LENGTHS:
            raise Malformed("0x%02x begins no value of this protocol" % code)
        form, kind = _LENGTHS[code]
        size = struct.calcsize(form)
        return self._sized(kind, struct.unpack(form, self._bytes(start, size))[0], start + size)

    def _sized(self, kind: str, length: int, start: int) -> Tuple[Any, int]:
        if kind in ("list", "map"):
            self._position = start
            return ([], length) if kind == "list" else (self._map_type(), 2 * length)
        raw = self._bytes(start, length)
        self._position = start + length
        return (raw if kind == "bytes" else raw.decode("utf-8", "surrogateescape")), 0

    def _bytes(self, start: int, count: int) -> bytes:
        if count > BYTES_MAX:
            raise Malformed("a value of more than %d bytes" % BYTES_MAX)
        if start + count > len(self._buffer):
            raise _More
        return bytes(self._buffer[start : start + count])


def _check_key(key: Optional[Any]) -> None:
    if not isinstance(key, (str, bytes, int)):
        raise Malformed("a map with a key that is neither text nor a number")
