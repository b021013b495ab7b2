"""PySyncObj itself, to compare with.

Its import replaces `socket.inet_pton` and `socket.inet_ntop` by functions for Windows, under which asyncio cannot connect:
they are put back.
"""

import socket

_KEPT = socket.inet_pton, socket.inet_ntop

from pysyncobj import SyncObj, SyncObjConf, batteries, syncobj  # noqa: E402

socket.inet_pton, socket.inet_ntop = _KEPT

__all__ = ["SyncObj", "SyncObjConf", "batteries", "syncobj"]
