"""From the plain tuples of the extension to the classes of `results.py`, whose fields have the same order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, Type, TypeVar, cast

from .codecs import Codec
from .results import (
    Ack,
    Answer,
    Change,
    Coordinate,
    Entry,
    Event,
    GroupMember,
    GroupStatus,
    Handler,
    Handlers,
    Hold,
    Leader,
    Line,
    Member,
    MemberEvent,
    Outcome,
    Owner,
    Page,
    Peer,
    QueryEvent,
    QueueState,
    Response,
    Swap,
    Transacted,
    Usage,
    UserEvent,
    WorkEnd,
    WorkInfo,
    WorkNumbers,
    WorkTotals,
)

if TYPE_CHECKING:
    from . import _folkmoot as raw  # pyright: ignore[reportPrivateUsage]

N = TypeVar("N", bound=Tuple[Any, ...])


def _maker(kind: Type[N]) -> Callable[[Any], N]:
    """As its ``_make``, but without Python's code for each: for what comes by the thousand."""
    made: Callable[[Any], N] = partial(cast(Any, tuple).__new__, kind)
    return made


_member = _maker(Member)


def members(members: List[raw.Member]) -> List[Member]:
    return [*map(_member, members)]


def _member_event(record: Tuple[str, List[raw.Member]]) -> MemberEvent:
    return MemberEvent(record[0], members(record[1]))


#: What a stream brings that is not about members.
_EVENTS: Dict[str, Callable[[Any], Event]] = {"user": _maker(UserEvent), "query": _maker(QueryEvent)}


def events(records: List[Any]) -> List[Event]:
    return [_EVENTS.get(record[0], _member_event)(record) for record in records]


def response(record: raw.AnswerRecord) -> Response:
    node, payload = record
    return Ack(node) if payload is None else Answer(node, payload)


def coordinate(found: Optional[raw.Coordinate]) -> Optional[Coordinate]:
    return None if found is None else Coordinate._make(found)


def handlers(answer: Tuple[List[raw.Handler], int]) -> Handlers:
    registered, dropped = answer
    return Handlers([Handler._make(handler) for handler in registered], dropped)


def entry(found: Optional[raw.Entry], codec: Optional[Codec[Any]] = None) -> Optional[Entry]:
    if found is None:
        return None
    made = Entry._make(found)
    return made if codec is None else made._replace(value=codec.decode(made.value))


def entries(found: List[raw.Entry], codec: Optional[Codec[Any]] = None) -> List[Entry]:
    made = [Entry._make(one) for one in found]
    return made if codec is None else [one._replace(value=codec.decode(one.value)) for one in made]


def page(answer: raw.Page) -> Page:
    found, more, revision, age = answer
    return Page(entries(found), more, revision, age)


def swap(answer: raw.Swap, codec: Optional[Codec[Any]] = None) -> Swap:
    written, revision, found = answer
    return Swap(written, revision if written else None, entry(found, codec))


def transacted(answer: Tuple[bool, List[raw.Outcome]]) -> Transacted:
    succeeded, outcomes = answer
    return Transacted(succeeded, [_outcome(*outcome) for outcome in outcomes])


def _outcome(verb: str, value: Any) -> Outcome:
    if verb == "get":
        return Outcome(verb, entry(value))
    return Outcome(verb, deleted=bool(value))


def owner(found: Optional[raw.Owner]) -> Optional[Owner]:
    return None if found is None else Owner._make(found)


def line(answer: raw.Line, codec: Optional[Codec[Any]] = None) -> Line:
    """``codec`` is for what leaders say; locks say nothing."""
    capacity, holds, waiting = answer
    return Line(capacity, [_hold(hold, codec) for hold in holds], waiting)


def _hold(raw: raw.LineHold, codec: Optional[Codec[Any]]) -> Hold:
    made = Hold._make(raw)
    value = None if codec is None else codec.decode(made.value)
    return made._replace(owner=Owner._make(made.owner), value=value)


def leader(record: raw.Leader, codec: Codec[Any]) -> Leader:
    made = Leader._make(record)
    return made._replace(value=None if made.hold is None else codec.decode(made.value))


def queue(answer: raw.QueueState, codec: Codec[Any]) -> QueueState:
    length, following, waiting = answer
    return QueueState(length, None if following is None else codec.decode(following), waiting)


def work_numbers(answer: raw.WorkNumbers) -> WorkNumbers:
    return WorkNumbers._make((*answer[:-1], WorkTotals._make(answer[-1])))


def work_info(answer: raw.WorkInfo, codec: Codec[Any]) -> WorkInfo:
    made = WorkInfo._make(answer)
    return made._replace(
        payload=codec.decode(answer[2]), owner=owner(answer[7]), last_error=answer[10].decode(errors="replace")
    )


def work_end(answer: raw.WorkEnd, codec: Codec[Any]) -> WorkEnd:
    made = WorkEnd._make(answer)
    return made._replace(result=codec.decode(answer[5]) if answer[5] else None)


def change(raw: raw.Change, codec: Optional[Codec[Any]]) -> Change:
    made = Change._make(raw)
    if made.owner is not None:
        made = made._replace(owner=Owner._make(made.owner))
    return made if codec is None or made.what != "put" else made._replace(value=codec.decode(made.value))


def _peers(peers: List[raw.Peer]) -> List[Peer]:
    return [Peer._make(peer) for peer in peers]


def group_status(answer: raw.GroupState) -> GroupStatus:
    made = GroupStatus._make(answer)
    return made._replace(
        leader=None if made.leader is None else Peer._make(made.leader),
        missing=_peers(answer[6]),
        voters=_peers(answer[7]),
        learners=_peers(answer[8]),
        usage=[Usage._make(usage) for usage in answer[-1]],
    )


def group_members(answer: List[raw.GroupMember]) -> List[GroupMember]:
    return [GroupMember._make(member) for member in answer]
