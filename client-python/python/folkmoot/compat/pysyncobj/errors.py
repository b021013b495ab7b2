"""Exceptions, by PySyncObj's names."""

from __future__ import annotations

from typing import Any


class SyncObjException(Exception):
    """A call failed. ``errorCode`` is a `FAIL_REASON`, ``'Timeout'``, or a sentence."""

    def __init__(self, errorCode: Any, *args: Any) -> None:
        super().__init__(errorCode, *args)
        self.errorCode = errorCode


class SyncObjExceptionWrongVer(SyncObjException):
    """The cluster was switched to a code version that this program does not have."""

    def __init__(self, ver: int) -> None:
        super().__init__("wrongVer")
        self.ver = ver
