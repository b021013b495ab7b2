"""What can go wrong, by whose fault. All are :class:`FolkmootError`.

Each class says whether something may have been changed: ``error.outcome`` is ``"nothing done"`` where the call certainly
changed nothing, else ``"unknown"``. A *read* can be repeated after either.
"""

from __future__ import annotations

import queue
from typing import Any, Dict, Optional, cast

from .results import KeyAnswer


class FolkmootError(Exception):
    """The base of all."""

    #: ``"nothing done"`` or ``"unknown"``.
    outcome: str = "nothing done"
    #: The stable word of the fault, such as ``not-held`` (``docs/rpc.md``); ``None`` where there is none.
    code: Optional[str] = None
    #: Name of the agent's command that failed; ``None`` where it is not known.
    command: Optional[str] = None

    def __init__(
        self, text: str, code: Optional[str] = None, command: Optional[str] = None, detail: object = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self._detail = detail
        if code is not None:
            self.code = code
        if command is not None:
            self.command = command

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.text, self.code, self.command, self._detail))


class ConnectError(FolkmootError, ConnectionError):
    """No agent could be reached within ``connect_timeout``, or within ``reconnect`` once there was a connection; or what answered
    there is none. Nothing was sent."""


class AuthError(FolkmootError, PermissionError):
    """The agent wants a key (``auth_key``), or another one."""


class Closed(FolkmootError, ConnectionError):
    """The connection is gone: lost, or ``close()`` was called. The next call looks for another one, if it was lost."""

    outcome = "unknown"


class ForkError(FolkmootError, RuntimeError):
    """This object was made before a fork: its connection belongs to the parent. Connect again in the child."""


class RemoteError(FolkmootError):
    """The agent refused one of Serf's commands or failed at it; ``text`` has its words, ``command`` the command's name."""


class KeyringError(RemoteError):
    """A key operation did not succeed everywhere; some nodes may have carried it out."""

    outcome = "unknown"

    @property
    def answer(self) -> KeyAnswer:
        """What each node said."""
        return KeyAnswer(*cast("tuple[Any, ...]", self._detail))


class ProtocolError(FolkmootError):
    """The agent sent something that is not this protocol. The connection is closed."""

    outcome = "unknown"


class Timeout(FolkmootError, TimeoutError):
    """No answer in time; whether the call was carried out is not known."""

    outcome = "unknown"


class Unsupported(FolkmootError, NotImplementedError):
    """This agent has no coordination: it is HashiCorp's, or older."""


class NoGroup(FolkmootError):
    """The agent knows of no member that takes part in a Raft group: no agent was started with ``-raft``, or no group has
    been founded."""

    code = "no-group"


class NoQuorum(FolkmootError):
    """The group has lost its quorum; the text names the voters that are missing. Stale reads and everything of gossip go on."""

    code = "no-quorum"


class Overloaded(FolkmootError):
    """The agent, or this connection, has too much under way, or the agent stops: later again, or slower."""

    code = "overloaded"


class LeaseLost(FolkmootError):
    """What was held (lock, permits, office, item, session) is not held any more. Somebody else may have it: stop."""

    code = "not-held"


class ClientExpired(FolkmootError):
    """The cluster did not hear of this client for its ``client_ttl`` and has forgotten it and all it held."""

    outcome = "unknown"
    code = "client-expired"


class Refused(FolkmootError):
    """The group has looked at the request and says no. Nothing was changed. ``code`` says why."""


class NotFound(Refused, LookupError):
    """There is no such thing: element, item, barrier; or it was removed while the call waited for it."""


class OutOfRange(Refused, IndexError):
    """A position outside the list."""


class SessionEnded(Refused):
    """The session that was named has ended, or that ended on which a waiting call depended (session, client or node)."""

    code = "no-session"


class Overflow(Refused, OverflowError):
    """The counter would leave its 64 bits."""

    code = "overflow"


class ReadError(FolkmootError, OSError):
    """The file to be restored cannot be read."""


class Conflict(Refused):
    """It is already there, in use, or was set up with another capacity."""


class Busy(Refused, TimeoutError):
    """Held by another for as long as the call could wait. Nothing is held."""

    code = "busy"


class LimitReached(Refused):
    """A limit on how many or how large; the text says which."""


class Full(LimitReached, queue.Full):
    """The queue is at its bound."""

    code = "full"


class InvalidRequest(Refused, ValueError):
    """A value in the request is not what the call takes."""


class NotPossible(Refused):
    """The change of the group's members is not possible, or would lose the quorum; or the backup is damaged."""

    code = "not-possible"


class Cancelled(Refused):
    """The waiting call was cancelled. What it was granted meanwhile is given back."""


class Compacted(Refused):
    """The changes asked for are forgotten: read the state again."""

    code = "compacted"


class Empty(FolkmootError, queue.Empty):
    """Nothing to take for as long as the call could wait."""

    code = "empty"


#: The class for each word: the codes in front of a refusal's text, then the other faults. One that is not here becomes
#: :class:`Refused`.
CLASSES: Dict[str, type[FolkmootError]] = {
    "unknown": Refused,
    "no-group": NoGroup,
    "no-quorum": NoQuorum,
    "timeout": Timeout,
    "refused": Refused,
    "overloaded": Overloaded,
    "stopping": Overloaded,
    "invalid-request": InvalidRequest,
    "too-many-calls": Overloaded,
    "not-possible": NotPossible,
    "client-expired": ClientExpired,
    "stale-request": InvalidRequest,
    "too-many-unacknowledged": Overloaded,
    "no-session": SessionEnded,
    "busy": Busy,
    "empty": Empty,
    "full": Full,
    "not-held": LeaseLost,
    "stale-lease": LeaseLost,
    "missing": NotFound,
    "exists": Conflict,
    "out-of-range": OutOfRange,
    "overflow": Overflow,
    "capacity-differs": Conflict,
    "invalid": InvalidRequest,
    "unknown-dependency": InvalidRequest,
    "timed-out": Busy,
    "cancelled": Cancelled,
    "owner-ended": SessionEnded,
    "removed": NotFound,
    "too-many": LimitReached,
    "too-large": LimitReached,
    "storage-full": LimitReached,
    "compacted": Compacted,
    "connect": ConnectError,
    "auth": AuthError,
    "remote": RemoteError,
    "keys": KeyringError,
    "closed": Closed,
    "protocol": ProtocolError,
    "unsupported": Unsupported,
    "lease-lost": LeaseLost,
    "read": ReadError,
    "client-closed": Closed,
    "fork": ForkError,
    "internal": FolkmootError,
}
