"""Programs that take part, by the addresses that they were given."""

from __future__ import annotations

from typing import Any


class Node:
    """A program. Nodes with the same `id` are the same."""

    def __init__(self, id: Any, **kwargs: Any) -> None:
        self._id = id
        for name, value in kwargs.items():
            setattr(self, name, value)

    @property
    def id(self) -> Any:
        """What it is known by."""
        return self._id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return "%s(%r)" % (type(self).__name__, self.id)


class TCPNode(Node):
    """A program by its `host:port`. The address is a name: nothing connects to it."""

    def __init__(self, address: str, **kwargs: Any) -> None:
        super().__init__(address, **kwargs)
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)

    @property
    def address(self) -> str:
        """`host:port`."""
        return str(self.id)

    @property
    def host(self) -> str:
        """The part before the port."""
        return self._host

    @property
    def port(self) -> int:
        """The port."""
        return self._port
