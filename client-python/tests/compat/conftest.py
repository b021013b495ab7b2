"""Agents of both kinds for the drop-ins: HashiCorp's `serf`, and ours."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from compat import objects
from folkmoot import _program, testing
from waiting import LIMIT_S

ROOT = Path(__file__).resolve().parents[3]


class Agent(testing.Node):
    """A running agent on a loopback address of its own."""

    @property
    def ip(self) -> str:
        """That address."""
        return self.gossip.rpartition(":")[0]


def folkmoot_program() -> str:
    return _program.find()


def serf_program() -> str:
    program = shutil.which("serf")
    assert program, "install HashiCorp's agent first: apt-get install serf"
    return program


@pytest.fixture(params=["serf", "folkmoot"])
def program(request: pytest.FixtureRequest) -> str:
    """Either program."""
    return serf_program() if request.param == "serf" else folkmoot_program()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Starts agents, `start(program, name, flags…)`, and ends them after the test."""
    running: List[Agent] = []

    def begin(program: str, name: str, *arguments: str, auth_key: str = "", rpc: str = "") -> Agent:
        agent = Agent(name, program, auth_key, tmp_path)
        running.append(agent)
        agent.arguments = [*arguments]
        agent.address = rpc or agent.address
        agent.start(LIMIT_S)
        return agent

    yield begin
    for agent in running:
        agent.discard()


@pytest.fixture
def made(one: testing.Cluster) -> Iterator[objects.Made]:
    """Replicated objects in a group of one."""
    maker = objects.Made(one.addresses)
    yield maker
    for each in maker.all:
        each.destroy_synchronous()
