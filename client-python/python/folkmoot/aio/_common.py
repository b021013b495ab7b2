"""What the objects share: which core a call goes through, and the numbers of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Optional, TypeVar, Union

from ..codecs import Codec

if TYPE_CHECKING:
    from .._folkmoot import Core
    from .._folkmoot import Session as RawSession
    from ._sessions import Session

V = TypeVar("V")


def at(core: Core, timeout: Optional[float]) -> Core:
    """The core whose calls have this time; ``None``: the client's."""
    return core if timeout is None else core.within(timeout)


def number(session: Union[Session, int, None]) -> Optional[int]:
    """The number of a session."""
    return session if session is None or isinstance(session, int) else session.id


def bond(session: Union[Session, int, None]) -> Union[RawSession, int, None]:
    """A session for what is held: of one of ours, the hold learns at once when it is lost."""
    return session if session is None or isinstance(session, int) else session._raw  # pyright: ignore[reportPrivateUsage]


class Named:
    """A handle of an object of the group: cheap to make, and nothing until it is used."""

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._name = name

    @property
    def name(self) -> str:
        """Its name in the cluster."""
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__module__.split('._')[0]}.{type(self).__name__} {self._name!r}>"


class Coded(Named, Generic[V]):
    """A handle of an object that holds values."""

    def __init__(self, core: Core, name: str, codec: Codec[V]) -> None:
        super().__init__(core, name)
        self._codec = codec
