"""Commands, and which arguments each takes. A table says it; the few rules beyond types are functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, ClassVar, Dict, List, Mapping, Optional, Tuple, Type

from .._msgpack import pack
from . import constant
from ._exceptions import InvalidRequest, UncheckedRequest
from .response import (
    Response,
    ResponseJoin,
    ResponseMembers,
    ResponseMonitor,
    ResponseQuery,
    ResponseStream,
    ResponseWithoutBody,
)

if TYPE_CHECKING:
    from .client import Client

_TEXT = (str, bytes)
_LIST = (list, tuple)
_NUMBER = (int, float)


class Request:
    """A command with its arguments, which are those of Serf's RPC by the same names."""

    command: ClassVar[str] = ""
    #: Arguments that must and may be given, with their types.
    required: ClassVar[Mapping[str, Any]] = {}
    optional: ClassVar[Mapping[str, Any]] = {}
    response_class: ClassVar[Type[Response]] = ResponseWithoutBody
    #: Streams: `watch` goes on with them, `request` until nothing comes any more.
    need_watching: ClassVar[bool] = False
    #: Is waited for until the agent says that it is done, also by `request`.
    force_watchful: ClassVar[bool] = False
    #: A rule beyond types.
    rule: ClassVar[Optional[Callable[[Any], None]]] = None

    def __init__(self, **body: Any) -> None:
        self.body = body
        self.seq: Optional[int] = None
        self.callbacks: List[Callable[[Response], Any]] = []
        self.is_checked = False

    def __repr__(self) -> str:
        return "<%s: %s, %s, %s>" % (type(self).__name__, self.command, self.seq, self.body or "")

    @property
    def command_translated(self) -> str:
        """The command as the agent knows it."""
        if self.command == "members" and self.body:
            return "members-filtered"
        return self.command.replace("_", "-")

    def check(self, client: Client) -> Request:
        """Refuses wrong arguments with `InvalidRequest`."""
        if self.command == "handshake":
            self.body.setdefault("Version", client.ipc_version)
        types = dict(self.required, **self.optional)
        unknown, missing = sorted(set(self.body) - set(types)), sorted(set(self.required) - set(self.body))
        if unknown or missing:
            raise InvalidRequest("%s: unknown arguments %s, missing ones %s" % (self.command, unknown, missing))
        for name, value in self.body.items():
            if not isinstance(value, types[name]) or (isinstance(value, bool) and types[name] is not bool):
                raise InvalidRequest("invalid request, `%s` must not be %s." % (name, type(value).__name__))
        if self.rule is not None:
            self.rule()
        self.is_checked = True
        return self

    def add_callback(self, *callbacks: Callable[[Response], Any], pos: Optional[int] = None) -> Request:
        """Adds callbacks, behind those that are there or at `pos`."""
        at = len(self.callbacks) if pos is None else pos
        self.callbacks[at:at] = callbacks
        return self

    def packed(self) -> bytes:
        """The bytes that are sent."""
        if not self.is_checked:
            raise UncheckedRequest(repr(self))
        return _packed(self)


def _packed(request: Request) -> bytes:
    header = pack({"Command": request.command_translated, "Seq": request.seq or 0})
    return header + (pack(request.body) if request.body else b"")


def _event_fits(request: Request) -> None:
    _fits(request, constant.PAYLOAD_SIZE_LIMIT)


def _answer_fits(request: Request) -> None:
    _fits(request, constant.RESPOND_PAYLOAD_SIZE_LIMIT)


def _fits(request: Request, limit: int) -> None:
    if len(_packed(request)) > limit:
        raise InvalidRequest("invalid request, message size must be smaller than %s." % limit)


def _types_are_named(request: Request) -> None:
    if not any(part.strip() for part in str(request.body["Type"]).split(",")):
        raise InvalidRequest("invalid request, `Type` must be filled.")


def _tags_are_named(request: Request) -> None:
    if not request.body:
        raise InvalidRequest("invalid request, `Tags` or `DeleteTags` must be given.")


def _command(
    name: str,
    required: Mapping[str, Any],
    optional: Mapping[str, Any],
    response: Type[Response] = ResponseWithoutBody,
    **more: Any,
) -> Type[Request]:
    title = "".join(part.capitalize() for part in name.split("_"))
    more.update(command=name, required=required, optional=optional)
    more["response_class"] = type("Response" + title, (response,), {})
    return type("Request" + title, (Request,), more)


_QUERY = {"FilterNodes": _LIST, "FilterTags": dict, "RequestAck": bool, "Timeout": _NUMBER, "Payload": _TEXT}
_MEMBERS: Dict[str, Any] = {"Tags": dict, "Status": str, "Name": str}
_TAGS: Dict[str, Any] = {"Tags": dict, "DeleteTags": _LIST}

_ALL: Tuple[Type[Request], ...] = (
    _command("handshake", {}, {"Version": int}),
    _command("auth", {"AuthKey": str}, {}),
    _command("event", {"Name": str, "Payload": _TEXT}, {"Coalesce": bool}, rule=_event_fits),
    _command("force_leave", {"Node": str}, {}),
    _command("join", {"Existing": _LIST, "Replay": bool}, {}, ResponseJoin),
    _command("members", {}, _MEMBERS, ResponseMembers),
    _command("tags", {}, _TAGS, rule=_tags_are_named),
    _command("stream", {"Type": str}, {}, ResponseStream, need_watching=True, rule=_types_are_named),
    _command("monitor", {"LogLevel": str}, {}, ResponseMonitor, need_watching=True),
    _command("stop", {"Stop": int}, {}),
    _command("leave", {}, {}),
    _command("query", {"Name": str}, _QUERY, ResponseQuery, rule=_answer_fits, force_watchful=True),
    _command("respond", {"ID": int, "Payload": _TEXT}, {}, rule=_answer_fits),
)

#: Every command by its name.
REQUESTS: Dict[str, Type[Request]] = {request.command: request for request in _ALL}
