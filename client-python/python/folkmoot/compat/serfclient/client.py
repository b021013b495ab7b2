"""The commands of Serf that `serfclient` has, as methods."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from .connection import SerfConnection
from .result import SerfResult


class SerfClient:
    """A connected client of the agent at `host` and `port`. `timeout` is in seconds. Not for several threads at once.

    Raises `SerfConnectionError` if nothing listens there.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 7373,
        rpc_auth: Optional[str] = None,
        timeout: Optional[float] = 3,
    ) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        self.connection: Any = SerfConnection(host=host, port=port, timeout=timeout)
        self.connection.handshake()
        if rpc_auth:
            self.connection.auth(rpc_auth)

    def stream(self, event_types: Union[str, List[str]] = "*") -> SerfResult:
        """Events of these types, as they happen: `for response in client.stream('*').body`."""
        if isinstance(event_types, list):
            event_types = ",".join(event_types)
        return self._call("stream", {"Type": event_types}, stream=True)

    def event(self, name: str, payload: Any = None, coalesce: bool = True) -> SerfResult:
        """Sends an event to the cluster."""
        body = {"Name": name, "Payload": payload, "Coalesce": coalesce}
        return self._call("event", body, expect_body=False)

    def members(
        self, name: Optional[str] = None, status: Optional[str] = None, tags: Optional[Mapping[str, str]] = None
    ) -> SerfResult:
        """Members of the cluster, whose name, status and tags match these regular expressions, each a full match."""
        filters: Dict[str, Any] = {}
        if name is not None:
            filters["Name"] = name
        if status is not None:
            filters["Status"] = status
        if tags is not None:
            filters["Tags"] = dict(tags)
        return self._call("members-filtered", filters) if filters else self._call("members")

    def force_leave(self, name: str) -> SerfResult:
        """Turns a failed node into one that left."""
        return self._call("force-leave", {"Node": name}, expect_body=False)

    def join(self, location: Union[str, Sequence[str]]) -> SerfResult:
        """Joins the cluster of these agents, each `ip` or `ip:port` of gossip."""
        existing = list(location) if isinstance(location, (list, tuple)) else [location]
        return self._call("join", {"Existing": existing, "Replay": False})

    def stats(self) -> SerfResult:
        """What the agent tells operators about itself."""
        return self._call("stats")

    def close(self) -> None:
        """Closes the connection."""
        if self.connection:
            self.connection.close()
            self.connection = None

    def _call(self, command: str, params: Any = None, **how: bool) -> SerfResult:
        result: SerfResult = self.connection.call(command, params, **how)
        return result
