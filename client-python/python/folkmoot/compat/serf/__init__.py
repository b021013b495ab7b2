"""PyPI's `serf-python`, on Python 3: commands are collected, sent together by `request()` or `watch()`, and answered by
callbacks.

>>> from folkmoot.compat import serf
>>> with serf.Client(agent) as client:
...     handshake, members, stop = client.members().stop(Stop=99).request()
>>> members.is_success
True

Text is `str`, payloads too: bytes that are no UTF-8 are in them as `surrogateescape` has it. Unlike serf-python, a command
that is collected twice is sent twice, and answers are returned whether or not they have a callback.
"""

from . import _exceptions, constant, request
from ._exceptions import (
    AuthenticationError,
    ConnectionError,
    ConnectionLost,
    Disconnected,
    InvalidHostURL,
    InvalidRequest,
    InvalidResponse,
    RpcError,
    StopReceiveData,
    ThisIsNotHeader,
    ThisIsNotValidHeader,
    UncheckedRequest,
)
from .client import Client, get_request_class
from .connection import Connection

__all__ = [
    "AuthenticationError",
    "Client",
    "Connection",
    "ConnectionError",
    "ConnectionLost",
    "Disconnected",
    "InvalidHostURL",
    "InvalidRequest",
    "InvalidResponse",
    "RpcError",
    "StopReceiveData",
    "ThisIsNotHeader",
    "ThisIsNotValidHeader",
    "UncheckedRequest",
    "_exceptions",
    "constant",
    "get_request_class",
    "request",
]
