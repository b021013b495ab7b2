"""Answers, as callbacks get them."""

# Untyped by nature: what is in answers, pickles and arguments of programs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ._exceptions import InvalidResponse

if TYPE_CHECKING:
    from .request import Request


class Response:
    """An answer to `request`. `body` is None where there is none."""

    has_body = True
    #: Whether further answers to the same request follow.
    has_more_responses = False
    #: Whether `request()` returns it, or callbacks alone see it.
    is_returned = True

    def __init__(self, request: Request, header: Dict[str, Any], body: Any = None) -> None:
        self.request = request
        self.header = header
        self.body = None if body is None else self._parse_body(body)

    def __repr__(self) -> str:
        return "<%s: %r, %s>" % (type(self).__name__, self.request, self.header)

    @property
    def seq(self) -> int:
        """The number of the request on its connection."""
        return int(self.header["Seq"])

    @property
    def error(self) -> str:
        """What the agent refused it with; empty if it did not."""
        return str(self.header["Error"])

    @property
    def is_success(self) -> bool:
        """Whether the command did what it is for."""
        return not self.error.strip()

    def callback(self) -> None:
        """Calls the callbacks of the request, in their order."""
        for callback in list(self.request.callbacks):
            callback(self)

    def _parse_body(self, body: Any) -> Any:
        return body


class ResponseWithoutBody(Response):
    """Of commands that answer with a header."""

    has_body = False


class ResponseJoin(Response):
    """`{'Num': joined}`; without anybody joined it is no success."""

    @property
    def is_success(self) -> bool:
        return not self.error and isinstance(self.body, dict) and self.body.get("Num", 0) > 0


class ResponseMembers(Response):
    """`{'Members': [...]}`, each with `Addr` as a list of numbers: 4, or 16 of IPv6."""

    def _parse_body(self, body: Any) -> Any:
        for member in body.get("Members") or []:
            member["Addr"] = _numbers(member.get("Addr"))
        return body


def _numbers(address: Any) -> Optional[List[int]]:
    if isinstance(address, str):
        # Agents before 0.8 send addresses as text of arbitrary bytes.
        address = address.encode("utf-8", "surrogateescape")
    if not isinstance(address, bytes):
        return None
    return list(address[12:] if address.startswith(b"\0" * 10 + b"\xff\xff") else address)


class ResponseStream(Response):
    """An event."""

    has_more_responses = True
    is_returned = False

    def _parse_body(self, body: Any) -> Any:
        return _text_payload(body)


class ResponseMonitor(Response):
    """A line of the agent's log."""

    has_more_responses = True
    is_returned = False


class ResponseQuery(Response):
    """An acknowledgement, an answer, or `done`."""

    def __init__(self, request: Request, header: Dict[str, Any], body: Any = None) -> None:
        super().__init__(request, header, body)
        self.has_more_responses = not self.error and not (body and body.get("Type") == "done")

    def _parse_body(self, body: Any) -> Any:
        if body.get("Type") in ("ack", "response") and not body.get("From"):
            raise InvalidResponse("query `%s` response must have `From`." % body["Type"])
        return _text_payload(body)


def _text_payload(body: Any) -> Any:
    if isinstance(body, dict) and isinstance(body.get("Payload"), bytes):
        body["Payload"] = body["Payload"].decode("utf-8", "surrogateescape")
    return body
