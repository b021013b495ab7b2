"""What clients have to say (reconnecting, lost leases, dropped records) goes to the logger ``folkmoot``."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import Optional

from ._folkmoot import end_notices, next_notices

_log = logging.getLogger("folkmoot")
_lock = threading.Lock()
_process: Optional[int] = None


def start_logging() -> None:
    """Starts the one thread of this process that logs."""
    global _process
    with _lock:
        if _process != os.getpid():
            _process = os.getpid()
            thread = threading.Thread(target=_run, name="folkmoot-notices", daemon=True)
            thread.start()
            # A thread must not be in the extension when the interpreter goes.
            atexit.register(_stop, thread)


def _run() -> None:
    while True:
        notices = next_notices(3600.0)
        if notices is None:
            return
        for level, text in notices:
            _log.log(level, "%s", text)


def _stop(thread: threading.Thread) -> None:
    end_notices()
    thread.join(1.0)
