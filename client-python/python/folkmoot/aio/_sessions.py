"""Sessions: a life that other things depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from ._bridge import complete
from ._held import Holding

if TYPE_CHECKING:
    from .._folkmoot import Session as RawSession


class Session(Holding):
    """A life that keys, locks, offices and claims can depend on: they end when it ends. See :meth:`Client.session`.

    Renewed in the background until it is destroyed or garbage; left alone, it ends with its time to live.
    """

    def __init__(self, raw: RawSession) -> None:
        super().__init__(raw)
        self._raw = raw

    @property
    def id(self) -> int:
        """Its number, for everything that is to depend on it."""
        return self._raw.id

    async def destroy(self, *, timeout: Optional[float] = None) -> None:
        """Ends it and what depends on it. Raises :class:`folkmoot.SessionEnded` if it has ended already."""
        self._ended = True
        await complete(self._raw.destroy(), timeout)

    async def __aenter__(self) -> Session:
        return self

    async def _leave(self, error: Optional[BaseException]) -> None:
        await self.destroy()

    def __repr__(self) -> str:
        return f"<Session {self.id} {'held' if self.is_held else 'ended'}>"
