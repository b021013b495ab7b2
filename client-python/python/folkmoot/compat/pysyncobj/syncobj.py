"""An object that is the same on every node: applies the log's calls, makes snapshots, says how things stand."""

# Untyped by nature: what is in answers, pickles and arguments of programs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The modules of this package share what no program is to use.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import abc
import contextlib
import logging
import pickle
import queue
import threading
import time
import weakref
from collections import OrderedDict, deque
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional, Set, Tuple, Type, Union

from . import calltime
from .config import FAIL_REASON, SERIALIZER_STATE, SyncObjConf
from .errors import SyncObjException, SyncObjExceptionWrongVer
from .locks import ReplLockManager
from .log import CALLS_PER_ENTRY, Batch, Callback, GroupLog, Loaded, Removed, Saved, Settings, Stood, Told
from .node import Node, TCPNode
from .replication import SyncObjConsumer, applying, choose, replicated, replicated_sync
from .state import Snapshots
from .ticking import LIVE, tick_for_ever

#: What programs import from the module of this name.
__all__ = [
    "FAIL_REASON",
    "SERIALIZER_STATE",
    "SyncObj",
    "SyncObjConf",
    "SyncObjConsumer",
    "SyncObjException",
    "SyncObjExceptionWrongVer",
    "replicated",
    "replicated_sync",
]

_log = logging.getLogger("folkmoot")

VERSION = "0.3.17"

#: What calls of the object's own affairs have in the place of a target's name.
SYSTEM = ""
#: Writers whose last number is remembered: far more than programs run at once. The one longest silent is forgotten.
WRITERS_MAX = 1024

FOLLOWER, LEADER = 0, 2


class _Started(abc.ABCMeta):
    """Lets an object begin when its constructor has ended: by then it has all its attributes."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made._start()
        return made


class SyncObj(metaclass=_Started):
    """The base of classes with replicated methods.

    `selfNode` and `otherNodes` are names, `host:port`; together they say which object this is, unless `conf.name` does. The
    agent is `conf.sidecar`. Batteries and other consumers are `consumers`, or attributes that the constructor assigns.
    `selfNode` None reads along, and can call, but never leads.
    """

    def __init__(
        self,
        selfNode: Union[str, Node, None],
        otherNodes: Iterable[Union[str, Node]],
        conf: Optional[SyncObjConf] = None,
        consumers: Optional[Iterable[Any]] = None,
        nodeClass: Type[Any] = TCPNode,
        transport: Any = None,
        transportClass: Any = None,
    ) -> None:
        if transport is not None or transportClass is not None:
            raise SyncObjException("the agents are the transport: leave transport and transportClass out")
        self.__conf = conf or SyncObjConf()
        self.__conf.validate()
        self.__nodeClass = nodeClass
        self.__selfNode = None if selfNode is None else self.__node(selfNode)
        self.__otherNodes = {self.__node(node) for node in otherNodes if self.__node(node) != self.__selfNode}
        self.__targets: Dict[Any, SyncObjConsumer]
        vars(self).setdefault("_SyncObj__targets", {})
        self.__log = GroupLog(self.__settings())
        for number, consumer in enumerate(consumers or ()):
            self.__adopt(number, consumer, required=True)
        self.__pending: Deque[Tuple[Batch, int]] = deque()
        self.__writers: OrderedDict[str, int] = OrderedDict()
        #: Entries since the last snapshot, and how many calls each has.
        self.__entries: Dict[str, int] = {}
        self.__applied = 0
        self.__ready = threading.Event()
        self.__halted = ""
        self.__version = 0
        self.__saving = False
        self.__forced = False
        self.__saved_at = self.__begun_at = time.monotonic()
        #: When the last attempt at a snapshot failed; None: it did not.
        self.__failed_at: Optional[float] = None
        self.__tick_callbacks: List[Callable[[], Any]] = []
        self.__tick_lock = threading.RLock()
        self.__destroyed = threading.Event()
        self.__thread: Optional[threading.Thread] = None
        self.__snapshots = Snapshots(self, self.__conf, self.__targets)
        # Whatever is assigned from here on is state.
        self.__snapshots.own = set(vars(self))

    def __setattr__(self, name: str, value: Any) -> None:
        self.__adopt(name, value, required=False)
        object.__setattr__(self, name, value)

    def __adopt(self, key: Any, value: Any, required: bool) -> None:
        """Makes an object one of ours, if it has replicated methods."""
        if isinstance(value, ReplLockManager):
            value._attach(self)
            return
        if not isinstance(value, SyncObjConsumer) and hasattr(type(value), "_consumer"):
            value = value._consumer()
        if not isinstance(value, SyncObjConsumer):
            if required:
                raise SyncObjException("Consumers must be inherited from SyncObjConsumer")
            return
        targets = vars(self).setdefault("_SyncObj__targets", {})
        if any(each is value for each in targets.values()):
            return
        if vars(self).get("_SyncObj__thread") is not None:
            raise SyncObjException("%s: batteries are assigned in the constructor" % key)
        targets[key] = value
        value._syncObj = self

    def __node(self, node: Union[str, Node]) -> Any:
        return node if isinstance(node, Node) else self.__nodeClass(node)

    def __settings(self) -> Settings:
        conf, node = self.__conf, self.__selfNode
        everybody = sorted(str(each) for each in self.__otherNodes | ({node} if node else set()))
        return Settings(
            name=conf.name or ",".join(everybody),
            agents=conf.agents(),
            key=conf.key(),
            node=None if node is None else str(node),
            queue_size=conf.commandsQueueSize,
            calls_per_entry=CALLS_PER_ENTRY if conf.appendEntriesUseBatch else 1,
            bytes_per_entry=conf.appendEntriesBatchSizeBytes,
            waits=conf.commandsWaitLeader,
            session_ttl=conf.connectionTimeout,
            reconnect=conf.connectionRetryTime,
            retry_pause=conf.bindRetryTime,
        )

    # -- Life ----------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Begins to follow the log; done by itself at the end of the constructor."""
        if self.__thread is not None:
            return
        self.__snapshots.begin()
        me = weakref.ref(self)
        self.__thread = threading.Thread(target=tick_for_ever, args=(me,), name="pysyncobj tick", daemon=True)
        log = self.__log
        log.start()
        weakref.finalize(self, log.close, False)
        LIVE.add(self)
        if self.__conf.autoTick:
            self.__thread.start()

    def destroy(self) -> None:
        """Stops taking part. Calls that were not sent are lost, which their callers are told (DISCARDED); of those that were
        sent and not applied, that nobody here will know (UNKNOWN_OUTCOME)."""
        self.__destroyed.set()
        self.__log.close(wait=False)
        LIVE.discard(self)

    def destroy_synchronous(self) -> None:
        """Stops taking part, and waits until that is done."""
        self.destroy()
        self.__log.close()
        if self.__thread is None or self.__thread is threading.current_thread():
            return
        if self.__thread.is_alive():
            self.__thread.join()
        else:
            self._farewell()

    _destroy = destroy

    def _isDestroyed(self) -> bool:
        return self.__destroyed.is_set()

    def _farewell(self) -> None:
        """Tells callers of calls that came to nothing so, when all else has ended."""
        self.__log.close()
        with contextlib.suppress(queue.Empty):
            while True:
                message = self.__log.inbox.get_nowait()
                if isinstance(message, Told):
                    self.__handle(message)

    def tick_thread_alive(self) -> bool:
        """Whether the thread that applies calls runs."""
        return self.__thread is not None and self.__thread.is_alive()

    def isReady(self) -> bool:
        """Whether the object has everything that was done before it came."""
        return self.__ready.is_set()

    _isReady = isReady

    def waitReady(self) -> None:
        """Waits until `isReady`. Raises `SyncObjException('BindError')` after `maxBindRetries` attempts to reach an agent."""
        self._start()
        while not self._wait(self.__ready, 0.1):
            if self.__halted or self.__destroyed.is_set():
                raise SyncObjException(self.__halted or "the object is destroyed")
            limit = self.__conf.maxBindRetries
            if limit and self.__log.attempts >= limit:
                raise SyncObjException("BindError")

    waitBinded = waitReady

    # -- Calls ---------------------------------------------------------------------------------------------------------

    def _submit(self, target: Any, name: str, args: Any, kwargs: Any, callback: Callback) -> None:
        """Sends a call of a replicated method into the log."""
        versions = getattr(type(target), name).versions
        method = choose(versions, self.__version)
        version = [number for number, each in versions.items() if each is method][0]
        key = None if target is self else self.__key(target)
        self.__send((key, name, version, args, kwargs, calltime.call_time()), callback)

    def __key(self, target: Any) -> Any:
        return next(key for key, consumer in self.__targets.items() if consumer is target)

    def __send(self, call: Tuple[Any, ...], callback: Callback) -> None:
        if self.__halted:
            raise SyncObjException(self.__halted)
        reason = self.__log.submit(pickle.dumps(call, 4), callback)
        if reason != FAIL_REASON.SUCCESS and callback is not None:
            callback(None, reason)

    def _wait(self, event: threading.Event, timeout: Optional[float]) -> bool:
        """Waits for what the tick brings: in the tick's own thread, or without one, by doing its work meanwhile."""
        if self.__conf.autoTick and threading.current_thread() is not self.__thread:
            return event.wait(timeout)
        end = None if timeout is None else time.monotonic() + timeout
        while not event.is_set() and (end is None or time.monotonic() < end):
            self._onTick(0.05 if end is None else max(0.0, min(0.05, end - time.monotonic())))
        return event.is_set()

    def doTick(self, timeToWait: float = 0.0) -> None:
        """With `autoTick` off: applies what has come, makes callbacks; waits up to so many seconds for something to come."""
        assert not self.__conf.autoTick
        self._onTick(timeToWait)

    def _onTick(self, timeToWait: float = 0.0) -> None:
        self._start()
        inbox = self.__log.inbox
        with self.__tick_lock:
            try:
                self.__handle(inbox.get(timeout=timeToWait) if timeToWait > 0 else inbox.get_nowait())
                while True:
                    self.__handle(inbox.get_nowait())
            except queue.Empty:
                pass
            self.__log.taken()
            self.__compact()
            for callback in list(self.__tick_callbacks):
                callback()

    def addOnTickCallback(self, callback: Callable[[], Any]) -> None:
        """Calls this in every round of the tick."""
        self.__tick_callbacks.append(callback)

    def removeOnTickCallback(self, callback: Callable[[], Any]) -> None:
        """Does so no longer."""
        if callback in self.__tick_callbacks:
            self.__tick_callbacks.remove(callback)

    # -- What comes from the log ---------------------------------------------------------------------------------------

    def __handle(self, message: Any) -> None:
        if isinstance(message, Batch):
            self.__take(message)
        elif isinstance(message, Loaded):
            self.__load(message)
        elif isinstance(message, Removed):
            self.__entries.pop(message.key, None)
        elif isinstance(message, Told):
            _call(message.callback, message.result, message.reason)
        elif isinstance(message, Stood) and self.__conf.onStateChanged is not None:
            states = (FOLLOWER, LEADER) if message.leads else (LEADER, FOLLOWER)
            _call(self.__conf.onStateChanged, *states)
        elif isinstance(message, Saved):
            self.__saving = False
            self.__saved(message.done)

    def __load(self, loaded: Loaded) -> None:
        if loaded.state is not None and loaded.through > self.__applied:
            # What was to be applied is part of the state, and what it gave is not known any more.
            self.__pending.clear()
            try:
                known = self.__snapshots.load(loaded.state, fresh=not self.__applied)
            except Exception as problem:
                self.__halt(problem)
                return
            self.__version, self.__otherNodes, self.__writers = known
            self.__applied = loaded.through
            self.__entries.clear()
            self.__give_up(self.__writers.get(self.__log.writer, 0))
        self.__entries.update({key: 0 for key in loaded.covered})
        for batch in loaded.batches:
            self.__take(batch)
        if not self.__ready.is_set() and not self.__halted:
            self.__ready.set()
            if self.__conf.onReady is not None:
                _call(self.__conf.onReady)

    def __take(self, batch: Batch) -> None:
        if batch.revision <= self.raftCommitIndex:
            return
        self.__entries[batch.key] = len(batch.calls)
        if batch.number <= self.__writers.get(batch.writer, 0):
            self.__applied = batch.revision
            return
        self.__writers[batch.writer] = batch.number
        self.__writers.move_to_end(batch.writer)
        if len(self.__writers) > WRITERS_MAX:
            self.__writers.popitem(last=False)
        self.__pending.extend((batch, place) for place in range(len(batch.calls)))
        while self.__pending and not self.__halted:
            self.__apply_next()

    def __apply_next(self) -> None:
        """Applies one call, and tells its caller. A callback that waits for another call applies the next ones itself."""
        batch, place = self.__pending[0]
        mine = batch.writer == self.__log.writer
        try:
            result, reason = self.__apply(batch.calls[place], mine), FAIL_REASON.SUCCESS
        except _Raised as raised:
            result, reason = raised.error, FAIL_REASON.REQUEST_DENIED
        except Exception as problem:
            self.__halt(problem)
            return
        self.__pending.popleft()
        callbacks = self.__log.own.get(batch.number) if mine else None
        if place == len(batch.calls) - 1:
            self.__applied = batch.revision
            if mine:
                self.__log.own.pop(batch.number, None)
        if callbacks is not None:
            _call(callbacks[place], result, reason)

    def __apply(self, call: bytes, mine: bool) -> Any:
        key, name, version, args, kwargs, wall = pickle.loads(call)
        if key == SYSTEM:
            return self.__administer(name, args)
        target = self if key is None else self.__targets[key]
        versions = getattr(type(target), name).versions
        if version not in versions:
            raise SyncObjExceptionWrongVer(version)
        outer, applying.owner = applying.owner, self
        try:
            with calltime.at(wall):
                return versions[version](target, *args, **kwargs)
        except Exception as error:
            if mine:
                _log.info("pysyncobj: %s raised", name, exc_info=True)
            raise _Raised(error) from error
        finally:
            applying.owner = outer

    def __halt(self, problem: Exception) -> None:
        """A call that this program cannot even try: it has other code than the one that made it. To skip it would make this
        object different from all others."""
        self.__log.halt()
        self.__halted = "this program cannot carry out a call of the log, and has stopped there: %r" % problem
        self.__ready.clear()
        _log.critical("pysyncobj: %s", self.__halted, exc_info=problem)
        self.__give_up(None)

    def __give_up(self, through: Optional[int]) -> None:
        """Tells the callers of entries up to this number (None: of all) that nobody here will know what came of them."""
        for number in [each for each in list(self.__log.own) if through is None or each <= through]:
            for callback in self.__log.own.pop(number, ()):
                _call(callback, None, FAIL_REASON.UNKNOWN_OUTCOME)

    def __administer(self, name: str, args: Any) -> Any:
        if name == "version":
            (wanted,) = args
            if wanted > self.__newest_version():
                raise SyncObjExceptionWrongVer(wanted)
            before, self.__version = self.__version, wanted
            if self.__conf.onCodeVersionChanged is not None:
                _call(self.__conf.onCodeVersionChanged, before, wanted)
        elif name == "add":
            self.__otherNodes |= {self.__node(args[0])} - {self.__selfNode}
        else:
            self.__otherNodes -= {self.__node(args[0])}
        return None

    # -- Snapshots -----------------------------------------------------------------------------------------------------

    def forceLogCompaction(self) -> None:
        """Makes a snapshot now, whoever leads."""
        self.__forced = True

    _forceLogCompaction = forceLogCompaction

    def __compact(self) -> None:
        idle = self.__saving or self.__pending or self.__halted or not self.__ready.is_set()
        if idle or not (self.__forced or self.__due()):
            return
        self.__forced = False
        try:
            state = self.__snapshots.take(self.__version, self.__otherNodes, self.__writers)
        except Exception:
            _log.exception("pysyncobj: no snapshot: the state cannot be pickled")
            state = None
        if state is not None:
            self.__saving = True
            self.__log.save(state, self.__applied, list(self.__entries))
        else:
            self.__saved(False)

    def __due(self) -> bool:
        """Whether this program has to make a snapshot. One that failed is tried again after `logCompactionMinTime`."""
        calls, now, pause = sum(self.__entries.values()), time.monotonic(), self.__conf.logCompactionMinTime
        if not calls or not self.__log.leads or (self.__failed_at is not None and now - self.__failed_at <= pause):
            return False
        return bool(calls > self.__conf.logCompactionMinEntries or now - self.__saved_at > pause)

    def __saved(self, done: bool) -> None:
        now = time.monotonic()
        self.__failed_at = None if done else now
        self.__saved_at = now if done else self.__saved_at

    # -- Code versions, members, leadership ----------------------------------------------------------------------------

    def getCodeVersion(self) -> int:
        """The code version that is enabled."""
        return self.__version

    def setCodeVersion(self, newVersion: int, callback: Callback = None) -> None:
        """Enables the methods of a code version on all nodes, which must have it."""
        if not self.__version <= newVersion <= self.__newest_version():
            text = "wrong version: this program has up to %d, %d is enabled"
            raise SyncObjException(text % (self.__newest_version(), self.__version))
        self.__send((SYSTEM, "version", 0, (newVersion,), {}, 0.0), callback)

    def __newest_version(self) -> int:
        methods = [getattr(type(each), name, None) for each in [self, *self.__targets.values()] for name in dir(each)]
        numbers: List[int] = [max(getattr(method, "versions")) for method in methods if hasattr(method, "versions")]
        return max([0, *numbers])

    def addNodeToCluster(self, node: Union[str, Node], callback: Callback = None) -> None:
        """Names another program, on all nodes. Needs `dynamicMembershipChange`, and `name`: without one, the addresses that
        a program is given say which object it means, and a newcomer would name another one."""
        self.__change_nodes("add", node, callback)

    def removeNodeFromCluster(self, node: Union[str, Node], callback: Callback = None) -> None:
        """Names a program no longer. If it still runs, it is not stopped."""
        self.__change_nodes("remove", node, callback)

    def __change_nodes(self, change: str, node: Union[str, Node], callback: Callback) -> None:
        if not self.__conf.dynamicMembershipChange:
            raise SyncObjException("dynamicMembershipChange is disabled")
        if not self.__conf.name:
            raise SyncObjException("give the object a name first: SyncObjConf(name=...)")
        self.__send((SYSTEM, change, 0, (str(self.__node(node)),), {}, 0.0), callback)

    def transferLeadership(self, node: Union[str, Node, None] = None, callback: Callback = None) -> None:
        """Lets the program lead that has waited longest. A `node` is taken if it is the only other one that runs."""
        others = self.__log.present - {str(self.__selfNode)}
        if not self._isLeader():
            reason = FAIL_REASON.NOT_LEADER
        elif not others or (node is not None and set(others) != {str(node)}):
            reason = FAIL_REASON.REQUEST_DENIED
        else:
            reason = FAIL_REASON.SUCCESS
            self.__log.step_down()
        _call(callback, None, reason)

    def _isLeader(self) -> bool:
        """Whether this program is the one of all that leads: at most one does, apart from the moment in which a leader that
        lost the group has not noticed."""
        return self.__log.leads

    def _getLeader(self) -> Any:
        """The program that leads; None if it is not known."""
        leader = self.__log.leader
        return None if leader is None else self.__node(leader)

    # -- How things stand ----------------------------------------------------------------------------------------------

    selfNode = property(lambda self: self.__selfNode, doc="This program.")
    otherNodes = property(lambda self: set(self.__otherNodes), doc="The others, whether they run or not.")
    raftLastApplied = property(lambda self: self.__applied, doc="Revision of the last entry that was applied.")
    raftCurrentTerm = property(lambda self: self.__log.term, doc="Term of the leading program.")
    conf = property(lambda self: self.__conf, doc="The settings.")

    @property
    def readonlyNodes(self) -> Set[Any]:
        """Programs that read along leave no trace; always empty."""
        return set()

    @property
    def raftCommitIndex(self) -> int:
        """Revision of the last entry that is known."""
        return max(self.__applied, self.__pending[-1][0].revision if self.__pending else 0)

    @property
    def hasQuorum(self) -> bool:
        """Whether the group of agents has its quorum."""
        status = self.__log.status
        return status is not None and status.quorum == "ok"

    def isNodeConnected(self, node: Union[str, Node]) -> bool:
        """Whether that program runs, as of a second ago."""
        return str(node) in self.__log.present

    def _getConf(self) -> SyncObjConf:
        return self.__conf

    def _getTerm(self) -> int:
        return self.__log.term

    def _getRaftLogSize(self) -> int:
        return len(self.__entries)

    def getStatus(self) -> Dict[str, Any]:
        """How things stand, under PySyncObj's names."""
        others = sorted(self.__otherNodes, key=str)
        status = {
            "version": VERSION,
            "revision": "folkmoot",
            "self": self.__selfNode,
            "state": LEADER if self._isLeader() else FOLLOWER,
            "leader": self._getLeader(),
            "has_quorum": self.hasQuorum,
            "partner_nodes_count": len(others),
            "readonly_nodes_count": 0,
            "log_len": self._getRaftLogSize(),
            "last_applied": self.raftLastApplied,
            "commit_idx": self.raftCommitIndex,
            "leader_commit_idx": self.raftCommitIndex,
            "raft_term": self._getTerm(),
            # How far the agents are with each other is theirs: `folkmoot raft status`.
            "next_node_idx_count": 0,
            "match_idx_count": 0,
            "uptime": int(time.monotonic() - self.__begun_at),
            "self_code_version": self.__newest_version(),
            "enabled_code_version": self.__version,
        }
        for node in others:
            status["partner_node_status_server_%s" % node] = 2 if self.isNodeConnected(node) else 0
        return status

    def printStatus(self) -> None:
        """Logs how things stand."""
        for name, value in self.getStatus().items():
            _log.info("%s: %s", name, value)

    _printStatus = printStatus

    def _groupLog(self) -> GroupLog:
        return self.__log


class _Raised(Exception):
    """What a replicated method raised."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _call(callback: Optional[Callable[..., Any]], *args: Any) -> None:
    if callback is not None:
        try:
            callback(*args)
        except Exception:
            _log.exception("pysyncobj: a callback raised")
