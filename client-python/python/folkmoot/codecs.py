"""How values become bytes and come back. Any object with ``encode`` and ``decode`` will do.

>>> import folkmoot
>>> folkmoot.JSON.encode({"b": 1, "a": [True, None]})
b'{"a":[true,null],"b":1}'
>>> folkmoot.JSON.decode(b'{"a": 1}')
{'a': 1}
"""

from __future__ import annotations

import json
import pickle
from typing import Any, Protocol, TypeVar, Union

V = TypeVar("V")


class Codec(Protocol[V]):
    """A pair of functions between values and bytes. Equal values have to become equal bytes: the elements of sets and the
    ``remove`` of lists are compared as bytes."""

    def encode(self, value: V, /) -> bytes:
        """Bytes of at most 1 MiB."""
        ...

    def decode(self, data: bytes, /) -> V:
        """What was encoded."""
        ...


class _Json:
    """JSON in UTF-8, with the keys of objects in order and without white space."""

    def __init__(self) -> None:
        self._encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def encode(self, value: Any, /) -> bytes:
        return self._encoder.encode(value).encode()

    def decode(self, data: bytes, /) -> Any:
        return json.loads(data)

    def __repr__(self) -> str:
        return "folkmoot.JSON"


class _Bytes:
    """Bytes as they are; text as UTF-8."""

    def encode(self, value: Union[bytes, bytearray, memoryview, str], /) -> bytes:
        return value.encode() if isinstance(value, str) else bytes(value)

    def decode(self, data: bytes, /) -> bytes:
        return data

    def __repr__(self) -> str:
        return "folkmoot.Bytes"


class _Text:
    """Text in UTF-8."""

    def encode(self, value: str, /) -> bytes:
        return value.encode()

    def decode(self, data: bytes, /) -> str:
        return data.decode()

    def __repr__(self) -> str:
        return "folkmoot.Text"


class _Pickle:
    """Python's pickle: any object, but whoever may write the value may run code in every process that reads it."""

    def encode(self, value: Any, /) -> bytes:
        return pickle.dumps(value, protocol=4)

    def decode(self, data: bytes, /) -> Any:
        return pickle.loads(data)

    def __repr__(self) -> str:
        return "folkmoot.Pickle"


#: The default: what other languages and the command line can read.
JSON = _Json()
Bytes = _Bytes()
Text = _Text()
#: Only where every writer is trusted.
Pickle = _Pickle()
