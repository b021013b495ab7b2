"""Agents of both kinds for the drop-ins: HashiCorp's `serf`, and ours."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from compat import objects
from compat.waiting import eventually
from folkmoot import testing

ROOT = Path(__file__).resolve().parents[3]
#: Listening on this port of a loopback address means owning it, as in sidecar/tests/support/address.rs.
CLAIM_PORT = 7940
NET = "127.0.41.%d"


def folkmoot_program() -> str:
    """FOLKMOOT_PROGRAM, or the one that cargo built here, or the one in PATH."""
    built = ROOT / "target" / "debug" / "folkmoot"
    program = os.environ.get("FOLKMOOT_PROGRAM") or (str(built) if built.exists() else shutil.which("folkmoot"))
    assert program, "build the agent first: cargo build -p folkmoot"
    return program


def serf_program() -> str:
    program = shutil.which("serf")
    assert program, "install HashiCorp's agent first: apt-get install serf"
    return program


class Agent:
    """A running agent on a loopback address of its own."""

    def __init__(self, program: str, name: str, *arguments: str, **variables: str) -> None:
        self.name = name
        self.program = program
        self._claim, self.ip = _claimed()
        self._arguments = arguments
        self._variables = variables
        self.start()

    def start(self) -> None:
        """Starts it, also again after `kill`."""
        addresses = ["-bind=" + self.ip, "-rpc-addr=%s:7373" % self.ip]
        self.process = subprocess.Popen(
            [self.program, "agent", "-node=" + self.name, *addresses, *self._arguments],
            env=dict(os.environ, **self._variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._serves, self.name + " serves")

    def _serves(self) -> bool:
        assert self.process.poll() is None, "%s has ended" % self.name
        try:
            socket.create_connection((self.ip, 7373), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.kill()
        self._claim.close()


def _claimed() -> "tuple[socket.socket, str]":
    for host in range(1, 251):
        claim = socket.socket()
        try:
            claim.bind((NET % host, CLAIM_PORT))
            claim.listen()
        except OSError:
            claim.close()
            continue
        return claim, NET % host
    raise AssertionError("every address of %s is in use" % NET)


@pytest.fixture(params=["serf", "folkmoot"])
def program(request: pytest.FixtureRequest) -> str:
    """Either program."""
    return serf_program() if request.param == "serf" else folkmoot_program()


@pytest.fixture
def start() -> Iterator[Callable[..., Agent]]:
    """Starts agents, `start(program, name, flags…)`, and ends them after the test."""
    running: List[Agent] = []

    def begin(program: str, name: str, *arguments: str, **variables: str) -> Agent:
        agent = Agent(program, name, *arguments, **variables)
        running.append(agent)
        return agent

    yield begin
    for agent in running:
        agent.end()


@pytest.fixture
def made(one: testing.Cluster) -> Iterator[objects.Made]:
    """Replicated objects in a group of one."""
    maker = objects.Made(one.addresses)
    yield maker
    for each in maker.all:
        each.destroy_synchronous()
