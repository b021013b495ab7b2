# Made from folkmoot/aio/_client.py by scripts/python-faces. Change that one.
"""The client: Serf's commands, and the handles of everything that the group keeps."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Optional, TypeVar, Union, overload
from typing import List as Listed

from .. import _reading
from .._folkmoot import connect as dial
from .._notices import start_logging
from ..codecs import JSON, Codec
from ..results import Coordinate, Handlers, KeyAnswer, Member, QueryEvent, SessionInfo, Stats
from ._barriers import Barrier, Gate
from ._bridge import complete
from ._collections import Counter
from ._common import at
from ._elections import Election
from ._group import Group
from ._kv import Kv
from ._locks import Lock, ReadWriteLock, Semaphore
from ..mappings import Dict, List, Set
from ._queues import PriorityQueue, Queue
from ._sessions import Session
from ._streams import Answers, Events, Lines, Watch
from ._work import WorkQueue

if TYPE_CHECKING:
    from .._folkmoot import Core

V = TypeVar("V")

#: Seconds for a join, a leave or a change of keys, which ask the whole cluster.
CLUSTER_TIMEOUT = 60.0


def connect(
    *addresses: str,
    auth_key: str = "",
    timeout: Optional[float] = 10.0,
    connect_timeout: float = 5.0,
    reconnect: Optional[float] = 30.0,
    client_ttl: float = 15.0,
    codec: Codec[Any] = JSON,
) -> Client:
    """Connects to an agent: the first of the ``addresses`` that answers, and another one when that goes away.

    * ``addresses``: ``host:port`` or ``unix:///path``; without any, ``127.0.0.1:7373``.
    * ``auth_key``: the agents' ``rpc_auth``.
    * ``timeout``: seconds for each call that names none. What a call may wait for (a lock, an item) comes on top. ``None``:
      30. What asks the whole cluster (``join``, ``leave``, keys of the gossip) has a time of its own.
    * ``connect_timeout``: seconds to reach an agent, and again for its greeting.
    * ``reconnect``: seconds for which a call looks for an agent when the connection was lost; ``None``: it does not.
    * ``client_ttl``: seconds of silence after which the cluster forgets this client and what it holds.
    * ``codec``: how values become bytes, where a handle names no other.

    Raises :class:`folkmoot.ConnectError`, :class:`folkmoot.AuthError`.

    Example::

        with folkmoot.connect("127.0.0.1:7373") as moot:
            print(moot.members(status="alive"))
    """
    where = [*addresses] or ["127.0.0.1:7373"]
    return _connect(where, auth_key, timeout, connect_timeout, reconnect, client_ttl, codec)


def _connect(
    addresses: Listed[str],
    auth_key: str,
    timeout: Optional[float],
    connect_timeout: float,
    reconnect: Optional[float],
    client_ttl: float,
    codec: Codec[Any],
) -> Client:
    start_logging()
    core = dial(addresses, auth_key, connect_timeout, timeout, reconnect, client_ttl)
    return Client(complete(core), codec, addresses)


class Client:
    """A client of an agent, or of any of several: see :func:`connect`. Any number of calls may be under way at once.

    Every call takes ``timeout``, in seconds, in place of the client's, and raises :class:`folkmoot.Timeout` after it,
    :class:`folkmoot.ConnectError` where no agent can be reached, :class:`folkmoot.Closed` where the connection was lost
    under it, :class:`folkmoot.RemoteError` where the agent refuses it.
    """

    def __init__(self, core: Core, codec: Codec[Any], addresses: Listed[str]) -> None:
        self._core = core
        self._codec = codec
        self._addresses = addresses

    # -- Life ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Gives back what is held (for at most 2 s), ends streams and calls under way, closes the connection."""
        complete(self._core.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone. If it was lost, the next call looks for another."""
        return self._core.is_closed

    def __repr__(self) -> str:
        face = type(self).__module__.split("._")[0]
        return f"<{face}.Client {', '.join(self._addresses)}: {'not connected' if self.is_closed else 'connected'}>"

    # -- Members -------------------------------------------------------------------------------------------------------

    def members(
        self,
        name: Optional[str] = None,
        status: Optional[str] = None,
        tags: Optional[Mapping[str, str]] = None,
        *,
        timeout: Optional[float] = None,
    ) -> Listed[Member]:
        """The members that the agent knows, failed and left ones too, in no particular order.

        ``name``, ``status`` and the values of ``tags`` are regular expressions for the whole of it. The agent closes the
        connection on one that it cannot read: :class:`folkmoot.Closed`.

        Example::

            for member in moot.members(status="alive", tags={"role": "gpu.*"}):
                print(member.name, member.address, member.tags)
        """
        core = at(self._core, timeout)
        if name is None and status is None and not tags:
            return _reading.members(complete(core.members()))
        return _reading.members(complete(core.members_filtered(name or "", status or "", tags or {})))

    def join(
        self, addresses: Union[str, Iterable[str]], replay: bool = False, *, timeout: float = CLUSTER_TIMEOUT
    ) -> int:
        """Makes the agent join the clusters at ``addresses``; how many were contacted. With ``replay``, user events from
        before the join are delivered too. Raises :class:`folkmoot.RemoteError` if none could be contacted."""
        several = [addresses] if isinstance(addresses, str) else addresses
        return complete(self._core.within(timeout).join(several, replay))

    def leave(self, *, timeout: float = CLUSTER_TIMEOUT) -> None:
        """Makes the agent leave its cluster and stop. It closes the connection afterwards."""
        complete(self._core.within(timeout).leave())

    def force_leave(self, node: str, prune: bool = False, *, timeout: Optional[float] = None) -> None:
        """Makes the cluster take ``node`` for one that left; with ``prune`` it is erased. A node that is alive comes back;
        an unknown one is no error."""
        complete(at(self._core, timeout).force_leave(node, prune))

    def tags(
        self, set: Optional[Mapping[str, str]] = None, delete: Iterable[str] = (), *, timeout: Optional[float] = None
    ) -> None:
        """Changes the agent's own tags: removes ``delete``, then sets ``set``.

        Example::

            moot.tags({"role": "gpu"}, delete=["draining"])
        """
        complete(at(self._core, timeout).tags(set or {}, delete))

    def stats(self, *, timeout: Optional[float] = None) -> Stats:
        """The agent's numbers, as text: section, key, value."""
        return complete(at(self._core, timeout).stats())

    def coordinate(self, node: str, *, timeout: Optional[float] = None) -> Optional[Coordinate]:
        """The network coordinate of ``node``; ``None`` if the agent has none for it."""
        return _reading.coordinate(complete(at(self._core, timeout).coordinate(node)))

    # -- Events and queries --------------------------------------------------------------------------------------------

    def event(
        self, name: str, payload: Union[bytes, str] = b"", coalesce: bool = True, *, timeout: Optional[float] = None
    ) -> None:
        """Fires a user event. With ``coalesce`` receivers may see only the newest of this name, up to three seconds late;
        without, every one at once. Raises :class:`folkmoot.RemoteError` if name and payload are longer than the cluster
        allows (512 bytes).

        Example::

            moot.event("deploy", b"v2", coalesce=False)
        """
        complete(at(self._core, timeout).event(name, _bytes(payload), coalesce))

    def query(
        self,
        name: str,
        payload: Union[bytes, str] = b"",
        *,
        nodes: Iterable[str] = (),
        tags: Optional[Mapping[str, str]] = None,
        ack: bool = False,
        relay: int = 0,
        timeout: Optional[float] = None,
    ) -> Answers:
        """Asks the cluster, and brings an :class:`folkmoot.Answer` for each that came, until the deadline.

        * ``nodes``, ``tags``: ask only these nodes, or those whose tags match these regular expressions.
        * ``ack``: bring an :class:`folkmoot.Ack` for each node that has the query, too.
        * ``relay``: how many other nodes send each answer as well.
        * ``timeout``: seconds until the deadline; ``None``: as the size of the cluster demands.

        Raises :class:`folkmoot.RemoteError` if it is too long (1,024 bytes) or its name reserved.

        Example::

            for answer in moot.query("load", timeout=2.0):
                print(answer.node, answer.payload)
        """
        return self._query(name, _bytes(payload), nodes, tags or {}, ack, relay, timeout)

    def _query(
        self,
        name: str,
        payload: bytes,
        nodes: Iterable[str],
        tags: Mapping[str, str],
        ack: bool,
        relay: int,
        timeout: Optional[float],
    ) -> Answers:
        return Answers(complete(self._core.query(name, payload, nodes, tags, ack, relay, timeout)))

    def respond(
        self, query: Union[QueryEvent, int], payload: Union[bytes, str], *, timeout: Optional[float] = None
    ) -> None:
        """Answers a query that a stream of this client brought. Raises :class:`folkmoot.RemoteError` if it is over, was
        answered already, or the answer is too long (1,024 bytes)."""
        number = query if isinstance(query, int) else query.id
        complete(at(self._core, timeout).respond(number, _bytes(payload)))

    def stream(self, filter: str = "*", *, timeout: Optional[float] = None) -> Events:
        """Events as they come. ``filter`` is a comma-separated list of ``member-join``, ``member-leave``,
        ``member-failed``, ``member-update``, ``member-reap``, ``user``, ``user:NAME``, ``query``, ``query:NAME``, ``*``.

        When the connection is lost, another one is looked for (``reconnect``), and a :class:`folkmoot.Gap` says that events
        may be missing; so it does where events were dropped because they were not read in time. Raises
        :class:`folkmoot.RemoteError` if the filter is invalid, :class:`folkmoot.ConnectError` if no agent is found any
        more: the same stream may be asked again then.

        Example::

            with moot.stream("user:deploy") as events:
                moot.event("deploy", b"v2", coalesce=False)
                for event in events:
                    print(event)
                    break
        """
        return self._stream(filter, timeout)

    def _stream(self, filter: str, timeout: Optional[float]) -> Events:
        return Events(self._core, filter, complete(at(self._core, timeout).stream(filter)))

    def monitor(self, level: str = "INFO", *, timeout: Optional[float] = None) -> Lines:
        """The agent's log, from ``level`` up: the last lines first, then each as it is written. One per client. Raises
        :class:`folkmoot.Closed` when the connection is lost, :class:`folkmoot.RemoteError` if there is no such level."""
        return self._monitor(level, timeout)

    def _monitor(self, level: str, timeout: Optional[float]) -> Lines:
        return Lines(complete(at(self._core, timeout).monitor(level)))

    # -- Keys of the gossip, event handlers ----------------------------------------------------------------------------

    def install_key(self, key: str, *, timeout: float = CLUSTER_TIMEOUT) -> KeyAnswer:
        """Adds a key (standard base64) to the key ring of every member. Raises :class:`folkmoot.KeyringError` unless every
        member did it, as do the next three."""
        return KeyAnswer._make(complete(self._core.within(timeout).install_key(key)))

    def use_key(self, key: str, *, timeout: float = CLUSTER_TIMEOUT) -> KeyAnswer:
        """Makes an installed key the one that members encrypt with."""
        return KeyAnswer._make(complete(self._core.within(timeout).use_key(key)))

    def remove_key(self, key: str, *, timeout: float = CLUSTER_TIMEOUT) -> KeyAnswer:
        """Removes a key from the key ring of every member."""
        return KeyAnswer._make(complete(self._core.within(timeout).remove_key(key)))

    def list_keys(self, *, timeout: float = CLUSTER_TIMEOUT) -> KeyAnswer:
        """All keys, and how many members have each."""
        return KeyAnswer._make(complete(self._core.within(timeout).list_keys()))

    def handlers(self, *, timeout: Optional[float] = None) -> Handlers:
        """The agent's event handlers, in the order in which they are run. Folkmoot agents only."""
        return _reading.handlers(complete(at(self._core, timeout).handlers()))

    def add_handler(self, handler: str, *, timeout: Optional[float] = None) -> None:
        """Registers an event handler, written as for the flag ``-event-handler``, until it is removed or the agent stops.
        Folkmoot agents only, started with ``-rpc-handlers``; else :class:`folkmoot.RemoteError`."""
        complete(at(self._core, timeout).add_handler(handler))

    def remove_handler(self, handler: str, *, timeout: Optional[float] = None) -> None:
        """Removes an event handler, named as it was written. As :meth:`add_handler`."""
        complete(at(self._core, timeout).remove_handler(handler))

    # -- What the group keeps ------------------------------------------------------------------------------------------

    @property
    def kv(self) -> Kv:
        """All keys, with bytes as values."""
        return Kv(self._core)

    @property
    def group(self) -> Group:
        """The Raft group itself."""
        return Group(self._core)

    @overload
    def dict(self, name: str) -> Dict[Any]: ...
    @overload
    def dict(self, name: str, codec: Codec[V]) -> Dict[V]: ...
    def dict(self, name: str, codec: Optional[Codec[Any]] = None) -> Dict[Any]:
        """A dictionary that all clients share. Making a handle asks nobody, here and below."""
        return Dict(self._core, name, codec or self._codec)

    @overload
    def set(self, name: str) -> Set[Any]: ...
    @overload
    def set(self, name: str, codec: Codec[V]) -> Set[V]: ...
    def set(self, name: str, codec: Optional[Codec[Any]] = None) -> Set[Any]:
        """A set that all clients share."""
        return Set(self._core, name, codec or self._codec)

    @overload
    def list(self, name: str) -> List[Any]: ...
    @overload
    def list(self, name: str, codec: Codec[V]) -> List[V]: ...
    def list(self, name: str, codec: Optional[Codec[Any]] = None) -> List[Any]:
        """A list that all clients share."""
        return List(self._core, name, codec or self._codec)

    @overload
    def queue(self, name: str, bound: Optional[int] = None) -> Queue[Any]: ...
    @overload
    def queue(self, name: str, bound: Optional[int] = None, *, codec: Codec[V]) -> Queue[V]: ...
    def queue(self, name: str, bound: Optional[int] = None, *, codec: Optional[Codec[Any]] = None) -> Queue[Any]:
        """A queue. Puts of this handle fail where more than ``bound`` elements would be there."""
        return Queue(self._core, name, bound, codec or self._codec)

    @overload
    def priority_queue(self, name: str, bound: Optional[int] = None) -> PriorityQueue[Any]: ...
    @overload
    def priority_queue(self, name: str, bound: Optional[int] = None, *, codec: Codec[V]) -> PriorityQueue[V]: ...
    def priority_queue(
        self, name: str, bound: Optional[int] = None, *, codec: Optional[Codec[Any]] = None
    ) -> PriorityQueue[Any]:
        """A priority queue, with a name of its own kind. ``bound`` as of :meth:`queue`."""
        return PriorityQueue(self._core, name, bound, codec or self._codec)

    @overload
    def work_queue(self, name: str) -> WorkQueue[Any]: ...
    @overload
    def work_queue(self, name: str, codec: Codec[V]) -> WorkQueue[V]: ...
    def work_queue(self, name: str, codec: Optional[Codec[Any]] = None) -> WorkQueue[Any]:
        """A queue of work, with leases, priorities, dependencies."""
        return WorkQueue(self._core, name, codec or self._codec)

    def counter(self, name: str) -> Counter:
        """A counter."""
        return Counter(self._core, name)

    def lock(self, name: str, ttl: float = 30.0, session: Union[Session, int, None] = None) -> Lock:
        """A lock. ``ttl``: seconds for which it stays held when its holder dies, at most (0.3 at least); with ``session``
        it ends with that, and not with the client."""
        return Lock(self._core, name, ttl, session)

    def semaphore(
        self, name: str, capacity: int, ttl: float = 30.0, session: Union[Session, int, None] = None
    ) -> Semaphore:
        """``capacity`` permits. The rest as of :meth:`lock`."""
        return Semaphore(self._core, name, capacity, ttl, session)

    def rwlock(self, name: str, ttl: float = 30.0, session: Union[Session, int, None] = None) -> ReadWriteLock:
        """A read/write lock. The rest as of :meth:`lock`."""
        return ReadWriteLock(self._core, name, ttl, session)

    def barrier(self, name: str) -> Barrier:
        """A barrier."""
        return Barrier(self._core, name)

    def gate(self, name: str, count: int, session: Union[Session, int, None] = None) -> Gate:
        """A gate for ``count`` members. Who is inside has left when ``session`` ends, or else the client."""
        return Gate(self._core, name, count, session)

    @overload
    def election(
        self,
        name: str,
        value: Any = None,
        ttl: float = 15.0,
        session: Union[Session, int, None] = None,
        *,
        preferred: bool = False,
    ) -> Election[Any]: ...
    @overload
    def election(
        self,
        name: str,
        value: Optional[V] = None,
        ttl: float = 15.0,
        session: Union[Session, int, None] = None,
        *,
        preferred: bool = False,
        codec: Codec[V],
    ) -> Election[V]: ...
    def election(
        self,
        name: str,
        value: Any = None,
        ttl: float = 15.0,
        session: Union[Session, int, None] = None,
        *,
        preferred: bool = False,
        codec: Optional[Codec[Any]] = None,
    ) -> Election[Any]:
        """An election. ``value`` is what this candidate says once it leads; ``preferred``: it comes before candidates that
        are not. The rest as of :meth:`lock`."""
        return Election(self._core, name, value, ttl, session, preferred, codec or self._codec)

    # -- Sessions and watches ------------------------------------------------------------------------------------------

    def session(
        self,
        ttl: float = 15.0,
        *,
        with_connection: bool = False,
        with_node: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Session:
        """Starts a session, and renews it in the background. It ends ``ttl`` seconds (0.3 at least) after the last renewal;
        ``with_connection``: also with the connection; ``with_node``: also when gossip says that this node failed or left.

        Example::

            with moot.session(ttl=10.0, with_node="n1") as session:
                moot.kv.put("workers/n1", b"here", session=session)
        """
        return self._session(ttl, with_connection, with_node, timeout)

    def _session(
        self, ttl: float, with_connection: bool, with_node: Optional[str], timeout: Optional[float]
    ) -> Session:
        return Session(complete(at(self._core, timeout).session(ttl, with_connection, with_node)))

    def sessions(self, *, timeout: Optional[float] = None) -> Listed[SessionInfo]:
        """All sessions of the group."""
        return [SessionInfo._make(info) for info in complete(at(self._core, timeout).sessions())]

    def session_info(self, session: int, *, timeout: Optional[float] = None) -> SessionInfo:
        """A session as it is, whoever keeps it. Raises :class:`folkmoot.SessionEnded`, as do the next two."""
        return SessionInfo._make(complete(at(self._core, timeout).session_info(session)))

    def renew_session(self, session: int, *, timeout: Optional[float] = None) -> None:
        """Starts the time to live of a session again."""
        complete(at(self._core, timeout).session_renew(session))

    def destroy_session(self, session: int, *, timeout: Optional[float] = None) -> None:
        """Ends a session and what depends on it."""
        complete(at(self._core, timeout).session_destroy(session))

    def watch(
        self, prefix: str = "", after: Optional[int] = None, *, scope: str = "", timeout: Optional[float] = None
    ) -> Watch:
        """Changes of all objects whose names begin so, or of one kind (``scope``: ``key``, ``session``, ``lock``,
        ``semaphore``, ``read-write-lock``, ``election``, ``barrier``, ``counter``, ``set``, ``list``, ``queue``,
        ``priority-queue``, ``work-queue``), after revision ``after``, or from here on: each once, in order, also over lost
        connections. After a :class:`folkmoot.Resync` read the state again."""
        return self._watch(prefix, after, scope, timeout)

    def _watch(self, prefix: str, after: Optional[int], scope: str, timeout: Optional[float]) -> Watch:
        return Watch(complete(at(self._core, timeout).watch(scope, prefix, after)), None, after)

    def revision(self, *, timeout: Optional[float] = None) -> int:
        """The revision of the group's state: a watch after it misses nothing."""
        return complete(at(self._core, timeout).revision())


def _bytes(payload: Union[bytes, str]) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload
