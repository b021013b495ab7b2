"""Waiting for what has to come."""

from __future__ import annotations

import threading
import time
from typing import Callable

#: Seconds, far beyond what anything takes; reached only where something hangs.
LIMIT_S = 60


def eventually(condition: Callable[[], object], what: str) -> None:
    """Waits until the condition is true; fails after the limit."""
    pause = threading.Event()
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "not in time: " + what
        pause.wait(0.02)
