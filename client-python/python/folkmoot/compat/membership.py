"""Who is in the cluster, for programs that kept a membership manager of their own (swim-p2p and the like): started, asked,
and called back when members come and go.

>>> from folkmoot.compat.membership import Membership
>>> membership = Membership(agent + ':7373')
>>> bool(membership.start())
True
>>> membership.get_alive_peers(), membership.get_member_count()
([], 1)
>>> bool(membership.stop())
True

Gossip and its failure detection are the agent's. Names are those of the nodes (`-node`), never addresses.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import threading
from typing import Any, Callable, Dict, Generator, List, Optional, Sequence, Union

import folkmoot
from folkmoot.exceptions import FolkmootError, Timeout
from folkmoot.results import MemberEvent

_log = logging.getLogger("folkmoot")

#: Seconds between looks at the whole list, in case events were missed.
REFRESH = 5.0
#: Seconds after which the agent is tried again.
RETRY = 1.0

#: What happened to the members of an event.
_STATUS = {
    "member-join": "alive",
    "member-update": "alive",
    "member-failed": "failed",
    "member-leave": "left",
    "member-reap": "gone",
}

#: Statuses of members that take part: one that leaves does so until it has left.
_TAKES_PART = ("alive", "leaving")

OnMember = Optional[Callable[[str], Any]]


class Outcome:
    """How `start` or `stop` went. In an asyncio program `await` it: its loop goes on meanwhile. Elsewhere it is known already."""

    def __init__(self, wait: Callable[[], bool]) -> None:
        self._wait = wait

    def __bool__(self) -> bool:
        return self._wait()

    def __await__(self) -> Generator[Any, None, bool]:
        return asyncio.get_running_loop().run_in_executor(None, self._wait).__await__()


class Membership:
    """The members that an agent knows.

    * `agents`: RPC addresses, one or several; by default SERF_RPC_ADDR, else 127.0.0.1:7373. `auth_key`: SERF_RPC_AUTH.
    * `on_member_alive(name)`: a member has come, or has come back. Those that are there at the start are told of as well.
    * `on_member_failed(name)`: a member has failed, or has left, if there is no `on_member_left` for that.

    Callbacks are made in a thread of this object; in an asyncio program, on the loop that runs when `start` is called, where
    they may be coroutine functions. A callback is never told of the agent's own node.
    """

    def __init__(
        self,
        agents: Union[str, Sequence[str], None] = None,
        *,
        auth_key: Optional[str] = None,
        on_member_alive: OnMember = None,
        on_member_failed: OnMember = None,
        on_member_left: OnMember = None,
    ) -> None:
        default = os.environ.get("SERF_RPC_ADDR") or "127.0.0.1:7373"
        self.agents = [agents] if isinstance(agents, str) else list(agents or [default])
        self.auth_key = os.environ.get("SERF_RPC_AUTH", "") if auth_key is None else auth_key
        self.on_member_alive = on_member_alive
        self.on_member_failed = on_member_failed
        self.on_member_left = on_member_left
        self._run: Optional[_Run] = None

    def start(self, timeout: float = 5.0) -> Outcome:
        """Begins; whether the members are known within `timeout` seconds. Goes on trying if they are not."""
        run = self._run
        if run is None:
            run = self._run = _Run(self, _running_loop())
            run.start()
        pictured = run.pictured
        return _outcome(lambda: pictured.wait(timeout))

    def stop(self) -> Outcome:
        """Ends it: no callback is made any more. The node stays a member: its agent keeps running."""
        run, self._run = self._run, None
        if run is None:
            return Outcome(lambda: True)
        run.stopping.set()
        return _outcome(run.end)

    @property
    def node_id(self) -> str:
        """Name of the agent's own node; empty until it is known."""
        run = self._run
        return "" if run is None else run.node_id

    def is_healthy(self) -> bool:
        """Whether it has been started and hears from the agent."""
        run = self._run
        return run is not None and run.healthy

    def get_alive_peers(self) -> List[str]:
        """Names of the members that are alive, this node's left out, in order."""
        return sorted(name for name, status in self._members().items() if status == "alive" and name != self.node_id)

    def is_peer_alive(self, name: str) -> bool:
        """Whether that member is alive."""
        return self._members().get(name) == "alive"

    def get_member_count(self) -> int:
        """How many members are alive, this node among them."""
        return sum(status == "alive" for status in self._members().values())

    def get_membership_summary(self) -> Dict[str, Any]:
        """How things stand, in numbers; `peers` has the status of every member by name. An agent does not tell whom it merely
        suspects, so `suspected` is 0."""
        peers = self._members()
        count = {word: sum(status == word for status in peers.values()) for word in ("alive", "failed", "left")}
        return {
            "node_id": self.node_id,
            "started": self._run is not None,
            "healthy": self.is_healthy(),
            "members": len(peers),
            "alive": count["alive"],
            "suspected": 0,
            "failed": count["failed"],
            "left": count["left"],
            "peers": peers,
        }

    def _members(self) -> Dict[str, str]:
        """The status of every member by name; none while it is not started."""
        run = self._run
        return {} if run is None else run.members()


class _Run:
    """What is between a start and a stop: a thread that follows the agent."""

    def __init__(self, owner: Membership, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        #: The members are known.
        self.pictured = threading.Event()
        self.stopping = threading.Event()
        self.node_id = ""
        #: The agent answers.
        self.healthy = False
        self._owner = owner
        self._loop = loop
        self._status: Dict[str, str] = {}
        self._lock = threading.Lock()
        self._moot: Optional[folkmoot.Client] = None
        self._thread = threading.Thread(target=self._follow_for_ever, name="folkmoot membership", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> bool:
        """Waits until it has ended, which was asked of it; not where a callback does so."""
        moot = self._moot
        if moot is not None:
            moot.close()
        if self._thread is not threading.current_thread():
            self._thread.join()
        return True

    def members(self) -> Dict[str, str]:
        with self._lock:
            return dict(self._status)

    def _follow_for_ever(self) -> None:
        while not self.stopping.is_set():
            try:
                with folkmoot.connect(*self._owner.agents, auth_key=self._owner.auth_key) as moot:
                    self._moot = moot
                    self._follow(moot)
            except FolkmootError as fault:
                if not self.stopping.is_set():
                    _log.warning("membership: %s", fault)
            finally:
                self._moot, self.healthy = None, False
            self.stopping.wait(RETRY)

    def _follow(self, moot: folkmoot.Client) -> None:
        # Events first, so that none is missed between the list and them.
        with moot.stream(",".join(_STATUS)) as events:
            self._picture(moot)
            while not self.stopping.is_set():
                try:
                    event = events.next(REFRESH)
                except Timeout:
                    self._picture(moot)
                    continue
                if event is None:
                    return
                if isinstance(event, MemberEvent):
                    for member in event.members:
                        self._change(member.name, _STATUS[event.event])
                else:
                    self._picture(moot)

    def _picture(self, moot: folkmoot.Client) -> None:
        """Takes over the agent's list."""
        self.node_id = moot.stats()["agent"]["name"]
        members = {member.name: member.status for member in moot.members()}
        for name in self.members().keys() - members.keys():
            self._change(name, "gone")
        for name, status in members.items():
            self._change(name, status)
        self.healthy = True
        self.pictured.set()

    def _change(self, name: str, status: str) -> None:
        with self._lock:
            before = self._status.get(name)
            if status == "gone":
                self._status.pop(name, None)
            else:
                self._status[name] = status
        if before not in _TAKES_PART:
            if status == "alive":
                self._tell(self._owner.on_member_alive, name)
        elif status == "failed":
            self._tell(self._owner.on_member_failed, name)
        elif status in ("left", "gone"):
            self._tell(self._owner.on_member_left or self._owner.on_member_failed, name)

    def _tell(self, callback: OnMember, name: str) -> None:
        if callback is None or name == self.node_id or self.stopping.is_set():
            return
        if self._loop is None:
            _call(callback, name)
            return
        try:
            self._loop.call_soon_threadsafe(_call, callback, name)
        except RuntimeError:
            _log.warning("membership: the event loop has ended, and nobody is told of %s", name)


def _running_loop() -> Optional[asyncio.AbstractEventLoop]:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _outcome(wait: Callable[[], bool]) -> Outcome:
    """Of something that takes a while: waited for here, unless that would hold up an event loop."""
    if _running_loop() is None:
        known = wait()
        return Outcome(lambda: known)
    return Outcome(wait)


def _call(callback: Callable[[str], Any], name: str) -> None:
    try:
        result = callback(name)
        if inspect.iscoroutine(result):
            task = asyncio.ensure_future(result)
            _running.add(task)
            task.add_done_callback(_done)
    except Exception:
        _log.exception("membership: a callback raised")


#: Coroutines of callbacks: an event loop does not keep them from being collected.
_running: "set[asyncio.Future[Any]]" = set()


def _done(task: "asyncio.Future[Any]") -> None:
    _running.discard(task)
    if not task.cancelled() and task.exception() is not None:
        _log.error("membership: a callback raised", exc_info=task.exception())
