"""Elections: one leader at a time, candidates with values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from .. import _reading
from ..codecs import Codec
from ..exceptions import Busy
from ..results import Leader, Line
from ._bridge import Entering, Opening, complete
from ._common import Coded, at, bond
from ._locks import Held
from ._streams import Leaders

if TYPE_CHECKING:
    from .._folkmoot import Core
    from .._folkmoot import Held as RawHeld
    from ._sessions import Session

V = TypeVar("V")


class Term(Held):
    """The office of who is elected, as long as it lasts. Its ``token`` is the term. Leaving its block resigns."""

    def __init__(self, raw: RawHeld, name: str, codec: Codec[Any]) -> None:
        super().__init__(raw, name)
        self._codec = codec

    async def proclaim(self, value: Any, *, timeout: Optional[float] = None) -> None:
        """Says something else to all. Raises :class:`folkmoot.LeaseLost`, :class:`folkmoot.LimitReached`."""
        await complete(self._raw.proclaim(self._codec.encode(value)), timeout)

    async def resign(self, *, timeout: Optional[float] = None) -> None:
        """Gives the office back. Raises :class:`folkmoot.LeaseLost` if it was lost before."""
        await self.release(timeout=timeout)

    async def __aenter__(self) -> Term:
        return self


class Election(Coded[V]):
    """An election. ``value`` is what a leader says to all, an address maybe.

    An office is renewed in the background; when the leader dies there is none for at most ``ttl`` seconds, or the client's
    ``client_ttl``, whichever is shorter. Calls raise as those of :class:`Lock`.

    Example::

        async with moot.election("scheduler", value="n1", ttl=10.0).campaign() as term:
            print("leading in term", term.token)
            print("everybody sees", await moot.election("scheduler").leader())
    """

    def __init__(
        self,
        core: Core,
        name: str,
        value: Optional[V],
        ttl: float,
        session: Union[Session, int, None],
        preferred: bool,
        codec: Codec[V],
    ) -> None:
        super().__init__(core, name, codec)
        self._value = value
        self._ttl = ttl
        self._session = session
        self._preferred = preferred

    def campaign(self, timeout: Optional[float] = None) -> Entering[Term]:
        """Stands for election until elected, at most ``timeout`` seconds. Raises :class:`folkmoot.Busy` when they are
        over."""
        return Entering(self._campaign(timeout))

    async def _campaign(self, timeout: Optional[float]) -> Term:
        value: Any = self._value
        said, session = self._codec.encode(value), bond(self._session)
        asked = self._core.election_campaign(self._name, said, self._ttl, session, self._preferred, timeout)
        raw = await complete(asked)
        if raw is None:
            raise Busy(f"busy: another leads {self._name} for {timeout or 0:g} s", "busy")
        return Term(raw, self._name, self._codec)

    def observe(self, *, timeout: Optional[float] = None) -> Opening[Leaders, Leader]:
        """Who leads: as it is, then each change, also over lost connections. Changes that come faster than they are read
        may be left out, the last one never.

        Example::

            async for leader in moot.election("scheduler").observe():
                print(leader.value)
                break
        """
        return Opening(self._observe(timeout))

    async def _observe(self, timeout: Optional[float]) -> Leaders:
        return Leaders(await complete(at(self._core, timeout).election_observe(self._name)), self._codec)

    async def leader(self, *, timeout: Optional[float] = None) -> Optional[V]:
        """What the leader says; ``None`` if nobody leads."""
        line = await self.info(timeout=timeout)
        value: Optional[V] = line.holds[0].value if line.holds else None
        return value

    async def info(self, *, timeout: Optional[float] = None) -> Line:
        """Who leads (the one hold), and who stands for election."""
        return _reading.line(await complete(at(self._core, timeout).election_info(self._name)), self._codec)

    async def resign(self, hold: int, *, timeout: Optional[float] = None) -> None:
        """Ends the office of this number, whoever holds it. Raises :class:`folkmoot.LeaseLost` if it has ended."""
        await complete(at(self._core, timeout).election_resign(self._name, hold))
