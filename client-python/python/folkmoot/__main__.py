"""`python -m folkmoot ...` is `folkmoot ...`: the agent and its command line."""

from __future__ import annotations

import os
import sys

from . import _program


def main() -> None:
    try:
        program = _program.find()
    except FileNotFoundError as missing:
        sys.exit(f"folkmoot: {missing}")
    os.execv(program, ["folkmoot", *sys.argv[1:]])


if __name__ == "__main__":
    main()
