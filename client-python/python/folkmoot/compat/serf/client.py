"""Commands collected, sent together, and answered by callbacks."""

# Untyped by nature: what is in answers, pickles and arguments of programs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, List, Optional, Set, Type

from .._msgpack import Malformed, Unpacker
from . import constant
from ._exceptions import AuthenticationError, ConnectionLost, Disconnected, InvalidResponse, RpcError, StopReceiveData
from .connection import Connection, Host, parse_host
from .request import REQUESTS, Request
from .response import Response

log = logging.getLogger("serf-rpc-client")

#: Connections that may break in a row before anything but the greeting was answered. Ours: agents close the connection on
#: what they cannot read, such as a wrong expression, and would do so for ever.
_BROKEN_MAX = 3


def get_request_class(command: str) -> Type[Request]:
    """The class of a command's requests."""
    return REQUESTS[command]


class Client(threading.local):
    """A client of the first of `hosts` that answers (`a:7373,serf://b?AuthKey=key`; default: 127.0.0.1:7373). It connects
    when it is needed. Each thread that uses it has a connection of its own.

    Every command is a method that takes the arguments of Serf's RPC and returns the client: `client.members().join(
    Existing=['10.0.0.1'], Replay=False).request()`. A broken connection is replaced, and what was not answered is asked
    again, on at most three connections in a row that bring no answer; with `auto_reconnect` hosts are tried again and again,
    `stop_reconnect_nth_failed` times (0: without end).
    """

    def __init__(
        self,
        hosts: Optional[str] = None,
        ipc_version: int = constant.DEFAULT_IPC_VERSION,
        auto_reconnect: bool = False,
        connection_class: Optional[Type[Connection]] = None,
        stop_reconnect_nth_failed: Optional[int] = constant.CONNECTION_RETRY,
    ) -> None:
        members: List[Host] = [(constant.DEFAULT_HOST, constant.DEFAULT_PORT, {})]
        if hosts:
            members = parse_host(hosts)
            if not members:
                raise ValueError("no `hosts` found.")
        self.ipc_version = ipc_version
        self._collected: List[Request] = []
        self._connections = 0
        self._heard = 0
        # Requests that wait for answers; streams among them whose records come; a header whose body has not come.
        self._asked: Dict[int, Request] = {}
        self._opened: Set[int] = set()
        self._header: Optional[Dict[str, Any]] = None
        self._conn = (connection_class or Connection)(
            members, auto_reconnect=auto_reconnect, stop_reconnect_nth_failed=stop_reconnect_nth_failed
        )
        self._conn.add_callback(connection_lost=self._forget, disconnected=self._forget)
        self._forget(self._conn)

    def __getattr__(self, command: str) -> Callable[..., Client]:
        if command not in REQUESTS:
            raise AttributeError(command)

        def collect(**body: Any) -> Client:
            return self.request_by_request(REQUESTS[command](**body).check(self))

        return collect

    def __enter__(self) -> Client:
        return self.connect()

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    def connect(self) -> Client:
        """Connects now."""
        self._conn.connect()
        return self

    def disconnect(self, wait: bool = False) -> Client:
        """Closes the connection; with `wait`, after the answer to the last command that was collected."""
        if wait and self._collected:
            return self.add_callback(lambda _: self.disconnect())
        self._collected = []
        self._conn.disconnect()
        return self

    def add_callback(self, *callbacks: Callable[[Response], Any]) -> Client:
        """Lets these be called with every answer to the command that was collected last."""
        if not self._collected:
            raise RpcError("no requests registered.")
        self._collected[-1].add_callback(*callbacks)
        return self

    def request_by_request(self, request: Request) -> Client:
        """Collects a checked request."""
        self._collected.append(request)
        return self

    def watch(self, timeout: Optional[float] = None) -> List[Response]:
        """As `request`, and goes on with streams until a callback raises `StopReceiveData` or disconnects."""
        return self.request(watch=True, timeout=timeout)

    def request(
        self,
        watch: bool = False,
        timeout: Optional[float] = constant.DEFAULT_TIMEOUT,
        requests: Optional[List[Request]] = None,
    ) -> List[Response]:
        """Sends what was collected, handshake and key first where they are due, and returns the answers, events and log
        lines excepted. It returns what it has when nothing has come for `timeout` seconds.

        Raises `AuthenticationError`, `ConnectionError` where no host can be reached, and `ConnectionLost` where each connection
        breaks at what it is asked.
        """
        if requests is None:
            requests, self._collected = self._collected, []
        if not requests:
            raise RpcError("no requests registered.")
        answers: List[Response] = []
        broken = 0
        while True:
            heard = self._heard
            try:
                self._send(requests)
                return self._answers(requests, answers, None if watch else timeout)
            except ConnectionLost as problem:
                log.info("connection lost: %s", problem)
                broken = broken + 1 if self._heard == heard else 0
                if broken >= _BROKEN_MAX:
                    raise
                # Whatever greeted the lost connection is made again for the next.
                requests = [each for each in requests if each.command not in ("handshake", "auth")]
                if not requests:
                    return answers

    def _send(self, requests: List[Request]) -> None:
        self._conn.connection  # noqa: B018 - connects, and thereby decides whose key is shown
        self._greet(requests)
        for request in requests:
            request.seq = self.seq
            self._asked[self.seq] = request
            self.seq += 1
        # One write: what is sent together is lost or kept together.
        self._conn.write(b"".join(request.packed() for request in requests))

    def _greet(self, requests: List[Request]) -> None:
        """Puts handshake and key in front, unless they are there or have been sent."""
        commands = [request.command for request in requests]
        at = 0
        if not self.is_handshaked:
            if "handshake" not in commands:
                requests.insert(0, REQUESTS["handshake"]().check(self))
            at = 1
        member = self._conn.current_member
        key = member[2].get("AuthKey") if member else None
        if key is not None and not self.is_authed and "auth" not in commands:
            requests.insert(at, REQUESTS["auth"](AuthKey=key).check(self))

    def _answers(
        self, requests: List[Request], answers: List[Response], timeout: Optional[float]
    ) -> List[Response]:
        """Takes answers until none of these requests wants more. Answers to others, such as a stream that called us, go to
        their callbacks meanwhile."""
        connection = self._connections
        while any(request.seq in self._asked for request in requests) or connection != self._connections:
            if connection != self._connections:
                # A callback has disconnected, or has found another agent when the connection broke under it.
                if self._conn.disconnected:
                    break
                raise ConnectionLost("lost by a callback")
            patient = any(request.force_watchful for request in requests)
            try:
                response = self._receive(None if patient else timeout)
            except Disconnected as reason:
                log.info("disconnected: %s", reason)
                break
            except InvalidResponse as problem:
                log.error("%s", problem)
                continue
            self._heard += response.request.command not in ("handshake", "auth")
            if response.request in requests:
                if not response.has_more_responses:
                    requests.remove(response.request)
                if response.is_returned:
                    answers.append(response)
            self._note(response)
            try:
                response.callback()
            except StopReceiveData:
                break
        return answers

    def _note(self, response: Response) -> None:
        if response.error or not response.has_more_responses:
            self._asked.pop(response.seq, None)
        if response.request.command == "handshake":
            self.is_handshaked = response.is_success
        elif response.request.command == "stop" and response.is_success:
            self._asked.pop(response.request.body["Stop"], None)
        elif response.request.command == "auth":
            self.is_authed = response.is_success
            if not response.is_success:
                raise AuthenticationError("failed to authed, %s." % (self._conn.current_member,))

    def _receive(self, timeout: Optional[float]) -> Response:
        """The next answer to anything that was asked."""
        while True:
            value = self._value(timeout)
            if not (isinstance(value, dict) and "Seq" in value and "Error" in value):
                header, self._header = self._header, None
                if header is not None:
                    request = self._asked[header["Seq"]]
                    return request.response_class(request, header, value)
                continue  # The body behind an error, or behind an answer that nobody waits for any more.
            self._header = None
            asked = self._asked.get(value["Seq"])
            if asked is None:
                continue
            kind = asked.response_class
            if value["Error"] or not kind.has_body:
                return kind(asked, value)
            if (asked.need_watching or asked.force_watchful) and value["Seq"] not in self._opened:
                # A stream is answered by a header alone. Its records follow.
                self._opened.add(value["Seq"])
            else:
                self._header = value

    def _value(self, timeout: Optional[float]) -> Any:
        while True:
            try:
                for value in self._unpacker:
                    return value
                self._unpacker.feed(self._conn.read(timeout=timeout))
            except Malformed as problem:
                raise ConnectionLost(str(problem)) from None

    def _forget(self, _: Connection) -> None:
        """What holds for one connection only."""
        self._connections += 1
        self.seq = 0
        self.is_handshaked = False
        self.is_authed = False
        self._unpacker = Unpacker()
        self._asked = {}
        self._opened = set()
        self._header = None
