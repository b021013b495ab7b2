"""Where the agent is, as the environment says."""

from __future__ import annotations

import os
from typing import Optional


class EnvironmentConfig:
    """`host`, `port` and `auth_key`, from SERF_RPC_ADDR (`HOST:PORT`, also `[IPV6]:PORT`) and SERF_RPC_AUTH."""

    host: str
    port: int
    auth_key: Optional[str]

    def __init__(self) -> None:
        self.host, self.port = "localhost", 7373
        address = os.getenv("SERF_RPC_ADDR")
        if address:
            host, _, port = address.rpartition(":")
            self.host, self.port = host.strip("[]"), int(port)
        self.auth_key = os.getenv("SERF_RPC_AUTH") or None
