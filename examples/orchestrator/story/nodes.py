"""The nodes of the story: on each host a sidecar and an orchestrator with its worker, as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import aiohttp

from .network import Network

PORT = 8080
HERE = Path(__file__).resolve().parent.parent


class Node:
    """One host with its processes. Their logs and the sidecar's data lie in its directory."""

    def __init__(self, network: Network, program: str, name: str, names: List[str], directory: Path) -> None:
        self.name = name
        self.address = network.address(name)
        self._network = network
        self._program = program
        self._directory = directory
        # Those to turn to: the own sidecar first.
        self._agents = [network.address(name), *(network.address(other) for other in names if other != name)]
        self._sidecar: Optional[subprocess.Popen[bytes]] = None
        self._orchestrator: Optional[subprocess.Popen[bytes]] = None
        directory.mkdir(parents=True)

    @property
    def agent(self) -> str:
        """RPC address of its sidecar."""
        return f"{self.address}:7373"

    def start_sidecar(self) -> None:
        """Starts the sidecar, which finds the others and its own data again."""
        joins = [f"-retry-join={address}" for address in self._agents[1:]]
        data = f"-data-dir={self._directory / 'data'}"
        words = [self._program, "agent", f"-node={self.name}", f"-bind={self.address}", f"-rpc-addr={self.agent}"]
        words += ["-raft", "-raft-bootstrap-expect=3", data, "-retry-interval=1s", *joins]
        self._sidecar = self._spawn("sidecar", words)

    def start_orchestrator(self, capabilities: str, lease: float) -> None:
        """Starts the orchestrator, which starts the worker."""
        words = [sys.executable, "-m", "orchestrator", "node", f"--node={self.name}", f"--host={self.address}"]
        words += [f"--port={PORT}", f"--agents={','.join(f'{address}:7373' for address in self._agents)}"]
        words += [f"--capabilities={capabilities}", f"--lease={lease}", f"--journal={self._directory / 'journal'}"]
        self._orchestrator = self._spawn("orchestrator", words)

    def kill_sidecar(self) -> None:
        """Kills the sidecar at once."""
        assert self._sidecar is not None
        self._sidecar.kill()
        self._sidecar.wait()

    def pause(self) -> None:
        """Stops every process of the node, as a machine that is suspended."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets them run on."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Ends every process of the node."""
        for process in (self._orchestrator, self._sidecar):
            if process is not None:
                _signal_group(process, signal.SIGKILL)
                process.wait()

    def journal(self) -> List[Dict[str, Any]]:
        """What its workers noted: a line for every attempt."""
        path = self._directory / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def get(self, http: aiohttp.ClientSession, path: str) -> Any:
        """An answer of its API."""
        async with http.get(f"http://{self.address}:{PORT}{path}") as answer:
            answer.raise_for_status()
            return await answer.json()

    async def post(self, http: aiohttp.ClientSession, path: str, body: Any) -> Any:
        """The same, of a request with a body."""
        async with http.post(f"http://{self.address}:{PORT}{path}", json=body) as answer:
            answer.raise_for_status()
            return await answer.json()

    def _spawn(self, name: str, words: List[str]) -> subprocess.Popen[bytes]:
        with open(self._directory / f"{name}.log", "ab") as log:
            # A session of its own: the whole group is signalled, the worker with its orchestrator.
            return subprocess.Popen(
                self._network.command(self.name, words),
                cwd=HERE,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _signal(self, number: signal.Signals) -> None:
        for process in (self._sidecar, self._orchestrator):
            assert process is not None
            _signal_group(process, number)


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)
