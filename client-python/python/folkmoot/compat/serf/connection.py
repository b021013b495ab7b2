"""One connection at a time, to the first of several hosts that answers."""

# Untyped by nature: what is in answers, pickles and arguments of programs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import logging
import socket
import time
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import parse_qsl, urlsplit

from . import constant
from ._exceptions import ConnectionError, ConnectionLost, Disconnected, InvalidHostURL

log = logging.getLogger("serf-rpc-client")

#: Host, port, and `{'AuthKey': key}` if the agent wants one.
Host = Tuple[str, int, Dict[str, str]]

#: Pauses between retries grow up to this multiple of the interval.
_PAUSE_GROWTH_MAX = 6


def parse_host(hosts: str) -> List[Host]:
    """The hosts of `serf://a:7373?AuthKey=key,b:7374,c`."""
    return [_parse_host(host.strip()) for host in hosts.split(",") if host.strip()]


def _parse_host(text: str) -> Host:
    url = urlsplit(text if "://" in text else "serf://" + text)
    if url.scheme != "serf":
        raise InvalidHostURL("invalid host url, `%s`." % text)
    try:
        port = url.port
    except ValueError:
        raise InvalidHostURL("invalid host url, `%s`." % text) from None
    if not url.hostname and port is None:
        raise InvalidHostURL("invalid host url, `%s`." % text)
    queries = dict(parse_qsl(url.query.replace("+", "%2B"), keep_blank_values=True))
    unknown = sorted(set(queries) - {"AuthKey"})
    if unknown:
        raise InvalidHostURL("unknown key found, %s" % unknown)
    return url.hostname or constant.DEFAULT_HOST, port or constant.DEFAULT_PORT, queries


class Connection:
    """Bytes to and from an agent. `timeout` is in seconds, for connecting; None waits for ever."""

    def __init__(
        self,
        hosts: List[Host],
        timeout: Optional[float] = constant.DEFAULT_TIMEOUT,
        auto_reconnect: bool = False,
        stop_reconnect_nth_failed: Optional[int] = constant.CONNECTION_RETRY,
    ) -> None:
        self.members: List[Host] = list(hosts)
        self.timeout = timeout
        self.current_member: Optional[Host] = None
        self.disconnected = True
        self._auto_reconnect = auto_reconnect
        self._stop_reconnect_nth_failed = stop_reconnect_nth_failed
        self._socket: Optional[socket.socket] = None
        self._once_connected = False
        self._callbacks: Dict[str, List[Callable[[Connection], Any]]] = {"connection_lost": [], "disconnected": []}

    def add_callback(self, **callbacks: Any) -> None:
        """Calls `connection_lost=` and `disconnected=` with this connection when that happens."""
        for name, added in callbacks.items():
            if name in self._callbacks:
                self._callbacks[name].extend(added if isinstance(added, (list, tuple)) else [added])

    def run_callback(self, name: str) -> None:
        """Calls whoever wants to know of `name`."""
        for callback in self._callbacks[name]:
            callback(self)

    @property
    def connection(self) -> socket.socket:
        """The socket; connects if there is none. Raises `ConnectionError` where no host can be reached."""
        if self._socket is None:
            if self._once_connected and self.disconnected:
                raise Disconnected("disconnected")
            self._socket = self._any_host()
            self._once_connected, self.disconnected = True, False
        return self._socket

    def connect(self) -> socket.socket:
        """Connects, also after `disconnect`."""
        self.disconnected = False
        return self.connection

    def disconnect(self) -> None:
        """Closes the connection. It is opened again by `connect` alone."""
        self.disconnected = True
        self._close()
        self.run_callback("disconnected")

    def write(self, data: bytes) -> None:
        """Sends all of it."""
        try:
            self.connection.sendall(data)
        except OSError as problem:
            self._lost(str(problem))

    def read(
        self, buflen: int = constant.DEFAULT_READ_BUFFER_SIZE, timeout: Optional[float] = constant.DEFAULT_TIMEOUT
    ) -> bytes:
        """What has come. Raises `Disconnected` after `timeout` seconds of silence, `ConnectionLost` at the end."""
        if self._socket is None:
            raise Disconnected("disconnected")
        try:
            self._socket.settimeout(timeout)
            data = self._socket.recv(buflen)
        except socket.timeout as silence:
            raise Disconnected(silence) from None
        except OSError as problem:
            data, reason = b"", str(problem)
        else:
            reason = "closed by the agent"
        if not data:
            if self.disconnected:
                raise Disconnected("disconnected")
            self._lost(reason)
        return data

    def _lost(self, reason: str) -> None:
        self._close()
        self.run_callback("connection_lost")
        raise ConnectionLost(reason)

    def _close(self) -> None:
        lost, self._socket = self._socket, None
        if lost is not None:
            lost.close()

    def _any_host(self) -> socket.socket:
        failures = 0
        while True:
            for host in list(self.members):
                try:
                    connected = socket.create_connection(host[:2], self.timeout)
                except OSError as problem:
                    log.error("%s (%s:%d)", problem, host[0], host[1])
                    # Whoever does not answer is tried last from now on.
                    self.members.remove(host)
                    self.members.append(host)
                    continue
                self.current_member = host
                log.info("connected to %s:%d", host[0], host[1])
                return connected
            failures += 1
            if not (self._once_connected and self._auto_reconnect):
                break
            if self._stop_reconnect_nth_failed and failures > self._stop_reconnect_nth_failed:
                break
            pause = constant.CONNECTION_RETRY_INTERVAL * min(failures, _PAUSE_GROWTH_MAX)
            log.info("failed to connect, will retry after %s seconds.", pause)
            time.sleep(pause)
        raise ConnectionError("tried to all the known members, but failed, %s" % (self.members,))
