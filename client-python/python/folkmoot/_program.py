"""Where the program `folkmoot` is: the agent and its command line."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path


def find() -> str:
    """``$FOLKMOOT_PROGRAM``, else the one that came with this package, else the one in ``$PATH``."""
    chosen = os.environ.get("FOLKMOOT_PROGRAM")
    if chosen:
        return chosen
    for scheme in (None, "posix_user"):
        scripts = sysconfig.get_path("scripts") if scheme is None else sysconfig.get_path("scripts", scheme)
        beside = Path(scripts) / "folkmoot"
        # Not a script of Python's that would call this again.
        if beside.is_file() and not _is_script(beside):
            return str(beside)
    found = shutil.which("folkmoot")
    if found is None:
        raise FileNotFoundError("no program `folkmoot`: neither beside this package nor in PATH; set FOLKMOOT_PROGRAM")
    return found


def _is_script(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(2) == b"#!"
