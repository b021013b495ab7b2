"""Agents for the tests: started by pytest, the program named by AGENT (default: `serf`)."""

import itertools
import os
import socket
import subprocess
import time

import pytest

AGENT = os.environ.get("AGENT", "serf")
NET = os.environ.get("AGENT_NET", "127.0.28")
DEADLINE_S = 20


class Agent:
    """One running agent."""

    def __init__(self, name, host, *arguments, **variables):
        self.name = name
        self.ip = "%s.%d" % (NET, host)
        command = [AGENT, "agent", "-node=" + name, "-bind=" + self.ip, "-rpc-addr=" + self.ip + ":7373"]
        self.process = subprocess.Popen(
            command + list(arguments),
            env=dict(os.environ, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._wait_until_serving()

    def _wait_until_serving(self):
        def serves():
            assert self.process.poll() is None, self.process.stdout.read().decode()
            try:
                socket.create_connection((self.ip, 7373), 1).close()
            except OSError:
                return False
            return True

        eventually(serves, self.name + " serves")

    def stop(self):
        """Ends the process at once."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def eventually(condition, what):
    """Waits until the condition is true; fails after the deadline."""
    pause = socket.socketpair()
    end = time.monotonic() + DEADLINE_S
    try:
        while not condition():
            assert time.monotonic() < end, "not in time: " + what
            pause[0].settimeout(0.02)
            try:
                pause[0].recv(1)
            except socket.timeout:
                pass
    finally:
        for end_of_pair in pause:
            end_of_pair.close()


HOSTS = itertools.count(1)


@pytest.fixture
def start():
    """Starts agents and ends them after the test."""
    running = []

    def begin(name, *arguments, **variables):
        agent = Agent(name, next(HOSTS), *arguments, **variables)
        running.append(agent)
        return agent

    yield begin
    for agent in running:
        agent.stop()


@pytest.fixture
def secure(start, tmp_path):
    """An agent that asks for the key s3cret: Go's reads it from a file, ours from the environment."""
    if os.path.basename(AGENT) == "serf":
        config = tmp_path / "auth.json"
        config.write_text('{"rpc_auth": "s3cret"}')
        return start("secure", "-config-file=%s" % config)
    return start("secure", FOLKMOOT_RPC_AUTH="s3cret")


@pytest.fixture
def pair(start):
    """alpha (role=web, dc=east) and beta (role=db), joined."""
    from serfclient.client import SerfClient

    alpha = start("alpha", "-tag=role=web", "-tag=dc=east")
    beta = start("beta", "-tag=role=db")
    client = SerfClient(host=beta.ip)
    client.join(alpha.ip)
    for agent in (alpha, beta):
        observer = SerfClient(host=agent.ip)
        eventually(lambda: len(field(observer.members().body, "Members")) == 2, "both know both")
        observer.close()
    client.close()
    return alpha, beta


def field(record, key):
    """A field of a record, whether this msgpack gives text as bytes or as str; text is given as str."""
    value = record[key] if key in record else record[key.encode()]
    return value


def text(value):
    """Text as str, whatever this msgpack made of it."""
    return value.decode() if isinstance(value, bytes) else value
