"""What can go wrong, by the names that serf-python gave it."""


class InvalidHostURL(Exception):
    """A host that is no `[serf://]host[:port][?AuthKey=key]`."""


class AuthenticationError(Exception):
    """The agent refused the key."""


class UncheckedRequest(Exception):
    """A request was written before `check`."""


class InvalidRequest(Exception):
    """Arguments that the command does not take."""


class InvalidResponse(Exception):
    """An answer to a query that names nobody."""


class Disconnected(Exception):
    """`disconnect` was called, or no answer came in time."""


class ConnectionLost(Exception):
    """The connection broke."""


class ConnectionError(Exception):  # noqa: A001 - the name that programs know
    """No host could be reached."""


class RpcError(Exception):
    """Nothing was asked."""


class ThisIsNotHeader(Exception):
    """Kept for programs that name it."""


class ThisIsNotValidHeader(Exception):
    """Kept for programs that name it."""


class StopReceiveData(Exception):
    """Raised by a callback to end `watch`."""
