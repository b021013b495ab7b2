"""A connection to an agent: one call at a time, or one stream."""

from __future__ import annotations

import socket
from typing import Any, Dict, Iterator, Optional

from .._msgpack import Malformed, Unpacker, pack
from .result import Fields, SerfResult

#: The one error after which an agent sends no body, whatever was asked.
_NO_BODY = "Authentication required"
#: Bytes asked of the socket at a time. Ours: one call for most answers.
_RECEIVE_BYTES = 65536


class SerfConnectionError(Exception):
    """No connection, or it is lost."""


class SerfTimeout(SerfConnectionError):
    """No answer within `timeout`. An answer that comes later is not mistaken for that of another call."""


class SerfProtocolError(SerfConnectionError):
    """The agent sent what is no answer to this call."""


class SerfConnection:
    """A connection to the agent at `host` and `port`; `host` may be `unix:///path` of a socket. `timeout` is in seconds,
    for connecting and for each wait; None waits for ever. It is made by the handshake."""

    def __init__(self, host: str = "localhost", port: int = 7373, timeout: Optional[float] = 3) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        self._socket: Optional[socket.socket] = None
        self._seq = 0
        self._unpacker = Unpacker(Fields)
        # Calls whose time was up, and whether a body will follow the header of their answer.
        self._abandoned: Dict[int, bool] = {}

    def __repr__(self) -> str:
        return "%s<counter=%s,host=%s,port=%s,timeout=%s>" % (
            type(self).__name__,
            self._seq,
            self.host,
            self.port,
            self.timeout,
        )

    def handshake(self) -> SerfResult:
        """Connects, if that is not done, and greets the agent: what any other call needs first."""
        self._connected()
        return self.call("handshake", {"Version": 1}, expect_body=False)

    def auth(self, auth_key: str) -> SerfResult:
        """Shows the agent's key."""
        self._connected()
        return self.call("auth", {"AuthKey": auth_key}, expect_body=False)

    def call(self, command: str, params: Any = None, expect_body: bool = True, stream: bool = False) -> SerfResult:
        """Sends any command, and returns its answer; the agent's errors are in `head`. Of a stream, `body` yields a
        result for each record."""
        if self._socket is None:
            raise SerfConnectionError("handshake must be made first")
        seq = self._counter()
        request = pack({"Seq": seq, "Command": command})
        if params is not None:
            request += pack(params)
        try:
            self._socket.sendall(request)
        except socket.timeout:
            # Part of it may have been sent: whatever came next would be taken for the rest.
            self.close()
            raise SerfTimeout("timeout while sending %r, and the connection is closed" % command) from None
        try:
            return self._answer(seq, expect_body and not stream, stream)
        except socket.timeout:
            self._abandoned[seq] = expect_body and not stream
            raise SerfTimeout("timeout while waiting for an RPC response to %r" % command) from None

    def close(self) -> None:
        """Closes the connection; a stream that is being read ends."""
        connection, self._socket = self._socket, None
        if connection is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # The other side was faster.
            connection.close()

    def _answer(self, seq: int, expect_body: bool, stream: bool) -> SerfResult:
        head = self._header(seq)
        if stream:
            return SerfResult(head, self._records(seq))
        if not expect_body:
            return SerfResult(head)
        if head.get("Error") == _NO_BODY:
            raise SerfTimeout("no response will come: %s" % _NO_BODY)
        return SerfResult(head, self._receive())

    def _header(self, seq: int) -> Any:
        """The header that answers `seq`. Answers to abandoned calls are thrown away."""
        while True:
            head = self._receive()
            if not isinstance(head, Fields) or "Seq" not in head:
                raise SerfProtocolError("a header was expected, and this came: %r" % (head,))
            if head["Seq"] == seq:
                return head
            if head["Seq"] not in self._abandoned:
                raise SerfProtocolError("an answer to nothing that was asked: %r" % (head,))
            if self._abandoned.pop(head["Seq"]) and head.get("Error") != _NO_BODY:
                self._receive()

    def _records(self, seq: int) -> Iterator[SerfResult]:
        connection = self._socket
        while connection is not None and connection is self._socket:
            # Between records a stream may be silent for as long as it likes.
            connection.settimeout(None)
            try:
                result = SerfResult(self._header(seq), self._receive())
            except (SerfConnectionError, OSError):
                if connection is not self._socket:
                    return  # Closed by us.
                raise
            yield result

    def _receive(self) -> Any:
        """The next value on the connection."""
        while True:
            try:
                for value in self._unpacker:
                    return value
            except Malformed as problem:
                raise SerfProtocolError(str(problem)) from None
            if self._socket is None:
                raise SerfConnectionError("Connection closed")
            data = self._socket.recv(_RECEIVE_BYTES)
            if not data:
                raise SerfConnectionError("Connection closed by peer")
            self._unpacker.feed(data)

    def _connected(self) -> None:
        if self._socket is None:
            self._socket = self._connect()
            self._unpacker = Unpacker(Fields)
            self._abandoned.clear()

    def _connect(self) -> socket.socket:
        try:
            if self.host.startswith("unix://"):
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                connection.settimeout(self.timeout)
                connection.connect(self.host[len("unix://") :])
                return connection
            connection = socket.create_connection((self.host, self.port), self.timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as problem:
            raise SerfConnectionError(self._error_message(problem)) from None

    def _counter(self) -> int:
        current = self._seq
        self._seq += 1
        return current

    def _error_message(self, problem: OSError) -> str:
        number, text = problem.errno or str(problem), problem.strerror or "No answer"
        return "Error %s connecting %s:%s. %s." % (number, self.host, self.port, text)
