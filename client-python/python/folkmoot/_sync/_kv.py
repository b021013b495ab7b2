# Made from folkmoot/aio/_kv.py by scripts/python-faces. Change that one.
"""Keys with values and revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, List, Optional, Union

from .. import _reading
from ..results import Entry, Page, Swap, Transacted
from ..transactions import Compare, Operation
from ._bridge import complete
from ._common import at, number
from ._streams import Watch

if TYPE_CHECKING:
    from .._folkmoot import Core
    from ._sessions import Session


class Kv:
    """All keys of the group, with bytes as values. Every write has a revision, in one order for all of them.

    Every call raises :class:`folkmoot.NoQuorum`, :class:`folkmoot.NoGroup`, :class:`folkmoot.Unsupported` and
    :class:`folkmoot.Timeout` where these apply, and takes ``timeout``, in seconds, in place of the client's. A write is
    applied once, however often it had to be sent.

    Example::

        revision = moot.kv.put("config/mode", b"fast")
        swap = moot.kv.compare_and_set("config/mode", revision, b"slow")
        print(swap.written, moot.kv.get("config/mode"))
    """

    def __init__(self, core: Core, stale: bool = False) -> None:
        self._core = core
        self._stale = stale

    def stale(self) -> Kv:
        """The same keys, read from what the agent knows, however old. Goes on when the quorum is lost.

        Example::

            page = moot.kv.stale().list("config/")
            print(page.age)
        """
        return Kv(self._core, stale=True)

    def get(self, key: str, *, timeout: Optional[float] = None) -> Optional[Entry]:
        """The key as it is; ``None`` if it is absent."""
        found, _, _ = complete(at(self._core, timeout).kv_get("", key, self._stale))
        return _reading.entry(found)

    def put(
        self,
        key: str,
        value: Union[bytes, str],
        *,
        ttl: Optional[float] = None,
        session: Union[Session, int, None] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """Sets a key: for ever, for ``ttl`` seconds, or as long as ``session`` lives. Gives the revision.

        Raises :class:`folkmoot.SessionEnded`, :class:`folkmoot.LimitReached`.
        """
        return complete(at(self._core, timeout).kv_put("", key, _bytes(value), ttl, number(session)))

    def compare_and_set(
        self,
        key: str,
        expected: Optional[int],
        value: Union[bytes, str],
        *,
        ttl: Optional[float] = None,
        session: Union[Session, int, None] = None,
        timeout: Optional[float] = None,
    ) -> Swap:
        """Sets a key if it was last written at revision ``expected``; ``None``: if it is absent. Raises as :meth:`put`."""
        core = at(self._core, timeout)
        answer = core.kv_compare_and_set("", key, expected, _bytes(value), ttl, number(session))
        return _reading.swap(complete(answer))

    def delete(self, key: str, *, timeout: Optional[float] = None) -> bool:
        """Removes a key; whether it was there."""
        return complete(at(self._core, timeout).kv_delete("", key))

    def delete_prefix(self, prefix: str, *, timeout: Optional[float] = None) -> int:
        """Removes all keys that begin so, some thousand at a time; how many. Keys written meanwhile may stay."""
        return complete(at(self._core, timeout).kv_delete_prefix("", prefix))

    def list(
        self, prefix: str = "", *, after: Optional[str] = None, limit: int = 0, timeout: Optional[float] = None
    ) -> Page:
        """A page of the keys that begin so: at most ``limit`` (0: as many as a page has), behind the key ``after``."""
        return _reading.page(complete(at(self._core, timeout).kv_list("", prefix, after, limit, self._stale)))

    def list_all(self, prefix: str = "", *, timeout: Optional[float] = None) -> List[Entry]:
        """All keys that begin so, read page by page: not as they were at one moment, if they are written meanwhile."""
        return _reading.entries(complete(at(self._core, timeout).kv_list_all("", prefix, self._stale)))

    def transaction(
        self,
        compares: Iterable[Compare] = (),
        then: Iterable[Operation] = (),
        otherwise: Iterable[Operation] = (),
        *,
        timeout: Optional[float] = None,
    ) -> Transacted:
        """Does ``then`` if all ``compares`` hold, else ``otherwise``, in one revision. Raises as :meth:`put`; nothing is
        done then.

        Example::

            done = moot.kv.transaction(
                compares=[Compare.absent("leader")],
                then=[Operation.put("leader", b"n1", ttl=30.0)],
                otherwise=[Operation.get("leader")],
            )
            print(done.succeeded, done.outcomes)
        """
        compared = [compare.raw() for compare in compares]
        steps, others = [step.raw() for step in then], [step.raw() for step in otherwise]
        answer = at(self._core, timeout).kv_transaction("", compared, steps, others)
        return _reading.transacted(complete(answer))

    def watch(
        self, prefix: str = "", after: Optional[int] = None, *, timeout: Optional[float] = None
    ) -> Watch:
        """Changes of keys that begin so, after revision ``after``, or from here on: each once, in order, also over lost
        connections. After a :class:`folkmoot.Resync` read the state again.

        Example::

            page = moot.kv.list("config/")
            moot.kv.put("config/mode", b"slow")
            for change in moot.kv.watch("config/", page.revision):
                print(change)
                break
        """
        return self._watch(prefix, after, timeout)

    def _watch(self, prefix: str, after: Optional[int], timeout: Optional[float]) -> Watch:
        return Watch(complete(at(self._core, timeout).kv_watch("", prefix, after)), None, after)


def _bytes(value: Union[bytes, str]) -> bytes:
    return value.encode() if isinstance(value, str) else value
