"""Locks: those of the group, by PySyncObj's names."""

# The modules of this package share what no program is to use.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import socket
import threading
from typing import Any, Callable, Dict, List, Optional, Tuple

import folkmoot.aio
from folkmoot import exceptions as faults

from .config import FAIL_REASON
from .errors import SyncObjException
from .log import Told
from .replication import Waiting, applying

_UNKNOWN = (faults.Timeout, faults.Closed, faults.ClientExpired, faults.ProtocolError)


class ReplLockManager:
    """Locks that this program holds. Each is kept as long as the program lives, and is free `autoUnlockTime` seconds after
    that at the latest.

    They are locks of the group, `pysyncobj/NAME/locks/LOCK`: `folkmoot lock` and all clients see them, and each has a
    fencing token, see `token`. Managers of one object with the same `selfID` are one holder; another program is another
    holder, whatever its `selfID`.
    """

    def __init__(self, autoUnlockTime: float, selfID: Optional[str] = None) -> None:
        assert autoUnlockTime > 0
        self.__ttl = float(autoUnlockTime)
        self.__selfID = selfID or "%s:%d:%d" % (socket.gethostname(), os.getpid(), id(self))
        self.__owner: Any = None
        # Shared by the managers of one holder.
        self.__held: Dict[str, folkmoot.aio.Held] = {}
        # One thing at a time for each lock: what waits for its turn.
        self.__turns: Dict[str, List[Callable[[], None]]] = {}
        self.__guard = threading.Lock()

    def _attach(self, owner: Any) -> None:
        if self.__owner is None:
            self.__owner = owner
            log = owner._groupLog()
            log.client_ttl = max(log.client_ttl, self.__ttl)
            self.__held = log.locks.setdefault(self.__selfID, self.__held)

    def destroy(self) -> None:
        """Gives all locks back."""
        for lock in list(self.__held):
            self.release(lock)

    def tryAcquire(
        self,
        lockID: str,
        callback: Optional[Callable[[Any, int], Any]] = None,
        sync: bool = False,
        timeout: Optional[float] = None,
    ) -> Any:
        """Takes a lock if nobody else has it: True or False, which `callback` gets, or `sync=True` returns. With `timeout`
        in seconds, a call with `sync` raises `SyncObjException('Timeout')` after it; what it may still get is given back."""

        async def take(moot: folkmoot.aio.Client) -> Tuple[Any, bool]:
            held = self.__held.get(lockID)
            if held is not None and held.is_held:
                return held, True
            return await moot.lock(self.__name(lockID), ttl=self.__ttl).try_acquire(), False

        def keep(outcome: Any) -> bool:
            held, had = outcome
            if held is not None and not had:
                self.__held[lockID] = held
            return held is not None

        def gained(outcome: Any) -> bool:
            held, had = outcome
            return held is not None and not had

        return self.__do(lockID, take, keep, callback, sync, timeout, gained)

    def release(
        self,
        lockID: str,
        callback: Optional[Callable[[Any, int], Any]] = None,
        sync: bool = False,
        timeout: Optional[float] = None,
    ) -> None:
        """Gives a lock back, if this program has it."""

        async def give(_: folkmoot.aio.Client) -> None:
            held = self.__held.pop(lockID, None)
            if held is not None:
                try:
                    await held.release()
                except faults.LeaseLost:
                    pass  # Somebody else has it by now, or may.

        self.__do(lockID, give, lambda _: None, callback, sync, timeout, lambda _: False)

    def isAcquired(self, lockID: str) -> bool:
        """Whether this program has the lock, as far as it knows."""
        held = self.__held.get(lockID)
        return held is not None and held.is_held

    def token(self, lockID: str) -> Optional[int]:
        """The fencing token of a lock that this program has: higher than that of every holder before. Pass it on to what
        the lock protects, to be refused there if it is lower than one seen before."""
        held = self.__held.get(lockID)
        return held.token if held is not None and held.is_held else None

    def __name(self, lockID: str) -> str:
        prefix: str = self.__owner._groupLog().prefix
        return "%slocks/%s" % (prefix, lockID)

    def __do(
        self,
        lockID: str,
        action: Callable[[folkmoot.aio.Client], Any],
        keep: Callable[[Any], Any],
        callback: Optional[Callable[[Any, int], Any]],
        sync: bool,
        timeout: Optional[float],
        undo: Callable[[Any], bool],
    ) -> Any:
        """Does an action in its turn; `keep` makes the result of its outcome. If the caller has given up waiting by then, and
        `undo` says so of the outcome, the lock is given back."""
        if self.__owner is None:
            raise SyncObjException("the locks belong to no SyncObj: assign the manager in the constructor, or name it in consumers=")
        if applying.owner is not None:
            raise SyncObjException("locks cannot be taken or given back inside a replicated method: every node would")
        self.__owner._start()
        waiting = Waiting()
        given_up = False

        def done(outcome: Any, fault: Any) -> None:
            self.__next(lockID)
            if fault is not None:
                unknown = isinstance(fault, _UNKNOWN)
                result, reason = None, FAIL_REASON.UNKNOWN_OUTCOME if unknown else _reason(fault)
            else:
                result, reason = keep(outcome), FAIL_REASON.SUCCESS
            if callback is not None:
                self.__owner._groupLog().inbox.put(Told(callback, result, reason))
            with self.__guard:
                waiting.done(result, reason)
            if given_up and fault is None and undo(outcome):
                self.release(lockID)

        self.__turn(lockID, lambda: self.__owner._groupLog().run(action, done))
        if callback is not None or not sync:
            return None
        if not self.__owner._wait(waiting.event, timeout):
            with self.__guard:
                # It may have come just so.
                given_up = not waiting.event.is_set()
        if given_up:
            raise SyncObjException("Timeout")
        return waiting.outcome()

    def __turn(self, lockID: str, begin: Callable[[], None]) -> None:
        with self.__guard:
            first = lockID not in self.__turns
            self.__turns.setdefault(lockID, []).append(begin)
        if first:
            begin()

    def __next(self, lockID: str) -> None:
        with self.__guard:
            turns = self.__turns[lockID]
            turns.pop(0)
            begin = turns[0] if turns else None
            if begin is None:
                del self.__turns[lockID]
        if begin is not None:
            begin()


def _reason(fault: Exception) -> int:
    if isinstance(fault, (faults.NoQuorum, faults.NoGroup, faults.ConnectError, faults.Overloaded)):
        return FAIL_REASON.MISSING_LEADER
    return FAIL_REASON.REQUEST_DENIED
