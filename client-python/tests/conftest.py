"""What the tests have in common: real agents, and both faces of the client behind one interface."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("FOLKMOOT_PROGRAM", str(ROOT / "target/debug/folkmoot"))

from faces import FACES  # noqa: E402
from fake_agent import FakeAgent  # noqa: E402
from folkmoot import testing  # noqa: E402

#: Seconds for agents to start on a loaded machine.
START = 180.0


@pytest.fixture(params=sorted(FACES))
def face(request):
    """The blocking face, and the asyncio one made to look like it: a test of one is a test of both."""
    made = FACES[request.param]()
    yield made
    made.close()


@pytest.fixture
def agents():
    """Starts clusters, Go's too with `program=GO`, and ends them after the test."""
    running = []

    def start(nodes=1, **options):
        running.append(testing.cluster(nodes, timeout=START, **options))
        return running[-1]

    yield start
    for cluster in running:
        cluster.close()


@pytest.fixture
def fake():
    """Starts agents that misbehave."""
    started = []

    def start(behave):
        started.append(FakeAgent(behave))
        return started[-1]

    yield start
    for agent in started:
        agent.close()
        assert agent.failure is None, agent.failure


@pytest.fixture(scope="session")
def one():
    """One agent that founds a group of one, for all tests that break nothing. Names in it are each test's own."""
    with testing.cluster(nodes=1, timeout=START) as cluster:
        yield cluster


@pytest.fixture
def moot(face, one):
    """A client of `one`."""
    return face.connect(*one.addresses)
