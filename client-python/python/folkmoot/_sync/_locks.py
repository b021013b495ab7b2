# Made from folkmoot/aio/_locks.py by scripts/python-faces. Change that one.
"""Locks, semaphores and read/write locks, with fencing tokens."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Dict, List, Optional, Union

from .. import _reading
from ..exceptions import Busy
from ..results import Line
from ._bridge import complete, whose
from ._common import Named, at, bond
from ._held import Holding
from ._sessions import Session

if TYPE_CHECKING:
    from .._folkmoot import Core, Pending
    from .._folkmoot import Held as RawHeld


class Held(Holding):
    """A lock or permits, as long as they are held.

    Leaving its ``with`` block gives it back, and raises :class:`folkmoot.LeaseLost` if it was lost before, because
    then somebody else may have been at work at the same time.
    """

    def __init__(self, raw: RawHeld, name: str) -> None:
        super().__init__(raw)
        self._raw = raw
        self._name = name

    @property
    def token(self) -> int:
        """The fencing token: higher than that of every hold before. Whoever writes somewhere else on the strength of this
        lock passes it on, and the other place refuses lower ones."""
        return self._raw.token

    @property
    def hold(self) -> int:
        """The number of the hold, by which anybody may give it back."""
        return self._raw.hold

    def release(self, *, timeout: Optional[float] = None) -> None:
        """Gives it back. Raises :class:`folkmoot.LeaseLost` if it was lost before."""
        self._ended = True
        complete(self._raw.release(), timeout)

    def __enter__(self) -> Held:
        return self

    def _leave(self, error: Optional[BaseException]) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r} token={self.token} {'held' if self.is_held else 'ended'}>"


class _Exclusive(Named):
    """What locks of all kinds have in common: they can be entered, by many tasks at a time."""

    def __init__(self, core: Core, name: str, ttl: float, session: Union[Session, int, None]) -> None:
        super().__init__(core, name)
        self._ttl = ttl
        self._session = session
        #: What each task has entered, the latest last.
        self._entered: Dict[object, List[Held]] = {}

    def _take(self, wait: Optional[float], permits: int = 1) -> Optional[Held]:
        raw = complete(self._ask(wait, permits))
        return None if raw is None else Held(raw, self._name)

    def _have(self, timeout: Optional[float], permits: int = 1) -> Held:
        held = self._take(timeout, permits)
        if held is None:
            raise Busy(f"busy: {self._name} was held by another for {timeout or 0:g} s", "busy")
        return held

    def _ask(self, wait: Optional[float], permits: int) -> Pending[Optional[RawHeld]]:
        raise NotImplementedError

    def __enter__(self) -> Held:
        held = self._have(None)
        self._entered.setdefault(whose(), []).append(held)
        return held

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        # Whoever leaves has entered, if maybe in another task: then it is the latest, as of blocks within each other.
        whom = whose() if whose() in self._entered else next(reversed(self._entered))
        holds = self._entered[whom]
        held = holds.pop()
        if not holds:
            del self._entered[whom]
        held.__exit__(kind, error, trace)


class Lock(_Exclusive):
    """A lock: held by one at a time, in the order in which they asked. Not reentrant.

    It is renewed in the background; when its holder dies it ends after ``ttl`` seconds, or with the client
    (``client_ttl``), whichever is shorter. Calls raise :class:`folkmoot.NoQuorum`, :class:`folkmoot.NoGroup`,
    :class:`folkmoot.Unsupported`, :class:`folkmoot.SessionEnded`, :class:`folkmoot.Timeout`.

    Example::

        with moot.lock("training", ttl=10.0) as held:
            print("fence with", held.token)
    """

    def acquire(self, timeout: Optional[float] = None) -> Held:
        """Waits until it is held, at most ``timeout`` seconds. Raises :class:`folkmoot.Busy` when they are over.

        Example::

            held = moot.lock("training").acquire(timeout=5.0)
            held.release()
        """
        return self._have(timeout)

    def try_acquire(self) -> Optional[Held]:
        """Takes it if nobody holds it; else ``None``."""
        return self._take(0.0)

    def info(self, *, timeout: Optional[float] = None) -> Line:
        """Who holds it and who waits."""
        return _reading.line(complete(at(self._core, timeout).lock_info("lock", self._name)))

    def _ask(self, wait: Optional[float], permits: int) -> Pending[Optional[RawHeld]]:
        return self._core.lock_acquire(self._name, self._ttl, bond(self._session), wait)


class Semaphore(_Exclusive):
    """So many permits; all its users have to name the same number. As :class:`Lock` otherwise.

    Example::

        with moot.semaphore("gpus", 4).acquire(2) as held:
            print("two of four", held.token)
    """

    def __init__(self, core: Core, name: str, capacity: int, ttl: float, session: Union[Session, int, None]) -> None:
        super().__init__(core, name, ttl, session)
        self._capacity = capacity

    def acquire(self, permits: int = 1, timeout: Optional[float] = None) -> Held:
        """Waits until it has so many permits, at most ``timeout`` seconds. Raises :class:`folkmoot.Busy` when they are
        over, :class:`folkmoot.Conflict` if others have named another capacity."""
        return self._have(timeout, permits)

    def try_acquire(self, permits: int = 1) -> Optional[Held]:
        """Takes permits if there are so many and nobody waits; else ``None``."""
        return self._take(0.0, permits)

    def info(self, *, timeout: Optional[float] = None) -> Line:
        """Who holds permits and who waits."""
        return _reading.line(complete(at(self._core, timeout).lock_info("semaphore", self._name)))

    def _ask(self, wait: Optional[float], permits: int) -> Pending[Optional[RawHeld]]:
        session = bond(self._session)
        return self._core.semaphore_acquire(self._name, self._capacity, permits, self._ttl, session, wait)


class _Side(_Exclusive):
    """A read/write lock, for reading or for writing."""

    def __init__(
        self, core: Core, name: str, write: bool, ttl: float, session: Union[Session, int, None]
    ) -> None:
        super().__init__(core, name, ttl, session)
        self._write = write

    def acquire(self, timeout: Optional[float]) -> Held:
        return self._have(timeout)

    def _ask(self, wait: Optional[float], permits: int) -> Pending[Optional[RawHeld]]:
        return self._core.read_write_acquire(self._name, self._write, self._ttl, bond(self._session), wait)


class ReadWriteLock(Named):
    """A lock that readers share and a writer has alone, in the order in which they asked. As :class:`Lock` otherwise.

    Example::

        with moot.rwlock("catalogue").read() as held:
            print("others may read too", held.token)
    """

    def __init__(self, core: Core, name: str, ttl: float, session: Union[Session, int, None]) -> None:
        super().__init__(core, name)
        self._reader = _Side(core, name, False, ttl, session)
        self._writer = _Side(core, name, True, ttl, session)

    def read(self, timeout: Optional[float] = None) -> Held:
        """Waits until it may read, at most ``timeout`` seconds. Raises :class:`folkmoot.Busy` when they are over."""
        return self._reader.acquire(timeout)

    def write(self, timeout: Optional[float] = None) -> Held:
        """Waits until it is alone, at most ``timeout`` seconds. Raises :class:`folkmoot.Busy` when they are over."""
        return self._writer.acquire(timeout)

    def info(self, *, timeout: Optional[float] = None) -> Line:
        """Who holds it and who waits."""
        return _reading.line(complete(at(self._core, timeout).lock_info("read-write", self._name)))
