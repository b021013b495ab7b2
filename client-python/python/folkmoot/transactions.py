"""The parts of a transaction: conditions and steps.

>>> from folkmoot import Compare, Operation
>>> swap = dict(compares=[Compare.value("a", b"1"), Compare.absent("b")],
...             then=[Operation.delete("a"), Operation.put("b", b"1")])

``moot.kv.transaction(**swap)`` does it, in one revision.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple


class Compare(NamedTuple):
    """A condition of a transaction. An absent key has the revisions and the version 0 and no value.

    >>> Compare.modified("config/mode", 7)
    Compare(key='config/mode', test='modified', number=7, content=b'')
    """

    key: str
    #: ``exists``, ``absent``, ``modified``, ``modified-after``, ``created``, ``version`` or ``value``.
    test: str
    #: A revision or version, where the test has one.
    number: int = 0
    #: Of the test for a value.
    content: bytes = b""

    def raw(self) -> Tuple[Any, ...]:
        """As the extension wants it."""
        if self.test in ("exists", "absent"):
            return (self.test, self.key)
        return (self.test, self.key, self.content if self.test == "value" else self.number)

    @staticmethod
    def exists(key: str) -> Compare:
        """The key is there."""
        return Compare(key, "exists")

    @staticmethod
    def absent(key: str) -> Compare:
        """It is not there."""
        return Compare(key, "absent")

    @staticmethod
    def modified(key: str, revision: int) -> Compare:
        """It was last written at this revision."""
        return Compare(key, "modified", revision)

    @staticmethod
    def modified_after(key: str, revision: int) -> Compare:
        """It was last written after this revision."""
        return Compare(key, "modified-after", revision)

    @staticmethod
    def created(key: str, revision: int) -> Compare:
        """It was created at this revision."""
        return Compare(key, "created", revision)

    @staticmethod
    def version(key: str, version: int) -> Compare:
        """It was written this often since its creation."""
        return Compare(key, "version", version)

    @staticmethod
    def value(key: str, value: bytes) -> Compare:
        """It has this value."""
        return Compare(key, "value", 0, value)


class Operation(NamedTuple):
    """A step of a transaction.

    >>> Operation.put("config/mode", b"fast", ttl=60.0)
    Operation(verb='put', key='config/mode', value=b'fast', ttl=60.0, session=None)
    """

    #: ``get``, ``put`` or ``delete``.
    verb: str
    key: str
    value: bytes = b""
    ttl: Optional[float] = None
    session: Optional[int] = None

    def raw(self) -> Tuple[Any, ...]:
        """As the extension wants it."""
        if self.verb == "put":
            return (self.verb, self.key, self.value, self.ttl, self.session)
        return (self.verb, self.key)

    @staticmethod
    def get(key: str) -> Operation:
        """Reads a key, after the steps before."""
        return Operation("get", key)

    @staticmethod
    def put(key: str, value: bytes, ttl: Optional[float] = None, session: Optional[int] = None) -> Operation:
        """Sets a key: for ever, for ``ttl`` seconds, or as long as a session lives."""
        return Operation("put", key, value, ttl, session)

    @staticmethod
    def delete(key: str) -> Operation:
        """Removes a key."""
        return Operation("delete", key)
