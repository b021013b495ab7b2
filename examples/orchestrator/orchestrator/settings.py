"""What a node of the orchestrator is told when it starts."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple


@dataclass(frozen=True)
class Settings:
    """Each is an option of the command line, or a variable ``ORCHESTRATOR_NAME`` in the environment."""

    #: Name of the node: that of its sidecar in gossip, so that its work goes back when gossip says that it is gone.
    node: str
    #: RPC addresses of sidecars: its own first, then others to turn to while that one is away.
    agents: Tuple[str, ...]
    #: Where its HTTP API listens.
    host: str
    port: int
    #: What its workers can do.
    capabilities: Tuple[str, ...]
    #: Items that its worker has at once.
    slots: int
    #: Seconds without a sign of life after which an item goes back.
    lease: float
    #: File to which the worker adds a line for every attempt; empty: none.
    journal: str


def read(arguments: Optional[Sequence[str]] = None) -> Tuple[str, Settings]:
    """The part of the program to run, ``node`` or ``worker``, and its settings."""
    parser = argparse.ArgumentParser(prog="orchestrator", description="An orchestrator beside a Folkmoot sidecar.")
    parser.add_argument("part", choices=["node", "worker"], nargs="?", default="node")

    def option(name: str, default: str, text: str) -> None:
        parser.add_argument(f"--{name}", default=os.environ.get(f"ORCHESTRATOR_{name.upper()}", default), help=text)

    option("node", "node-1", "name of the sidecar's node")
    option("agents", "127.0.0.1:7373", "RPC addresses with commas between, the own sidecar's first")
    option("host", "0.0.0.0", "address of the HTTP API")
    option("port", "8080", "port of the HTTP API")
    option("capabilities", "cpu,gpu", "what workers can do, with commas between")
    option("slots", "2", "items that the worker has at once")
    option("lease", "10", "seconds without a sign of life after which an item goes back")
    option("journal", "", "file with a line for every attempt")
    said = parser.parse_args(arguments)
    return said.part, Settings(
        node=said.node,
        agents=_list(said.agents),
        host=said.host,
        port=int(said.port),
        capabilities=_list(said.capabilities),
        slots=int(said.slots),
        lease=float(said.lease),
        journal=said.journal,
    )


def _list(text: str) -> Tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)
