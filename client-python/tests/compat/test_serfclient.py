"""PyPI's serfclient: the tests that its own package passes, with the import changed, and what goes beyond them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
from pathlib import Path
from typing import Callable, Iterator

import pytest

from compat.conftest import ROOT, Agent, folkmoot_program
from waiting import LIMIT_S
from folkmoot.compat.serfclient import EnvironmentConfig, SerfClient
from folkmoot.compat.serfclient.connection import SerfConnection, SerfConnectionError, SerfProtocolError, SerfTimeout
from folkmoot.compat.serfclient.result import Fields, SerfResult

Start = Callable[..., Agent]


def test_programs_for_serfclient_run_with_another_import(program: str, tmp_path: Path) -> None:
    """The tests of sidecar/tests/python, which PyPI's package passes with its old and its new msgpack."""
    python = ROOT / ".venv" / "msgpack-new" / "bin" / "python"
    assert python.exists(), "run `make setup` first"
    for source in (ROOT / "sidecar" / "tests" / "python").glob("*.py"):
        text = re.sub(r"(from|import) serfclient\b", r"\1 folkmoot.compat.serfclient", source.read_text())
        (tmp_path / source.name).write_text(text)
    net = "127.0.42" if os.path.basename(program) == "serf" else "127.0.43"
    run = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=dict(
            os.environ,
            AGENT=program,
            AGENT_NET=net,
            PYTHONPATH=str(ROOT / "client-python" / "python"),
            PYTHONDONTWRITEBYTECODE="1",
        ),
        capture_output=True,
        text=True,
        timeout=10 * LIMIT_S,
    )
    assert run.returncode == 0 and "passed" in run.stdout and "skipped" not in run.stdout, run.stdout + run.stderr


def test_answers_are_there_for_programs_of_old_and_new_msgpack(start: Start, program: str) -> None:
    agent = start(program, "alpha", "-tag=role=web")
    client = SerfClient(host=agent.ip, timeout=LIMIT_S)
    head, body = client.members()
    assert head == {"Seq": 1, "Error": ""} == {**head}
    assert head == {b"Seq": 1, b"Error": b""} and head[b"Error"] == b""
    new, old = body["Members"][0], body[b"Members"][0]
    assert (new["Name"], new["Tags"], new["Addr"]) == ("alpha", {"role": "web"}, socket.inet_aton(agent.ip))
    assert (old[b"Name"], old[b"Tags"], old[b"Addr"]) == (b"alpha", {b"role": b"web"}, agent.ip.encode())
    assert new.get(b"Status") == b"alive" and b"Name" in new and new.get(b"Missing", 7) == 7
    with pytest.raises(KeyError):
        new[b"Missing"]
    client.close()


@pytest.mark.parametrize(
    "address, written",
    [
        (bytes([10, 0, 0, 1]), b"10.0.0.1"),
        (b"\0" * 10 + b"\xff\xff" + bytes([10, 0, 0, 1]), b"10.0.0.1"),
        (b"\xfe\x80" + b"\0" * 13 + b"\x01", b"fe80::1"),
    ],
)
def test_addresses_as_old_programs_read_them(address: bytes, written: bytes) -> None:
    assert Fields(Addr=address)[b"Addr"] == written


def test_results_have_head_and_body() -> None:
    result = SerfResult(head={"Seq": 1}, body=[2])
    assert list(result) == [{"Seq": 1}, [2]]
    assert repr(result) == "SerfResult<head={'Seq': 1},body=[2]>"


def test_connections_say_what_they_are_and_want_a_handshake() -> None:
    connection = SerfConnection("localhost", 40000, 5)
    assert repr(connection) == "SerfConnection<counter=0,host=localhost,port=40000,timeout=5>"
    with pytest.raises(SerfConnectionError, match="handshake must be made first"):
        connection.call("members")


def test_nobody_there_is_told_with_the_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(SerfConnectionError, match=r"Error \d+ connecting 127.0.0.1:%d. Connection refused." % port):
            SerfClient("127.0.0.1", port)


def test_the_environment_says_where_the_agent_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERF_RPC_ADDR", raising=False)
    monkeypatch.delenv("SERF_RPC_AUTH", raising=False)
    config = EnvironmentConfig()
    assert (config.host, config.port, config.auth_key) == ("localhost", 7373, None)
    monkeypatch.setenv("SERF_RPC_ADDR", "[fe80::1]:7374")
    monkeypatch.setenv("SERF_RPC_AUTH", "key")
    config = EnvironmentConfig()
    assert (config.host, config.port, config.auth_key) == ("fe80::1", 7374, "key")


def test_a_unix_socket_will_do(start: Start, tmp_path: Path) -> None:
    rpc = "unix://%s/rpc" % tmp_path
    start(folkmoot_program(), "alpha", rpc=rpc)
    client = SerfClient(host=rpc, timeout=LIMIT_S)
    assert client.members().body["Members"][0]["Name"] == "alpha"
    client.close()


@pytest.fixture
def scripted() -> Iterator[Callable[[bytes], SerfConnection]]:
    """A connection to a peer that answers the handshake, then says what it is given."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = []

    def connected(said: bytes) -> SerfConnection:
        def serve() -> None:
            peer, _ = listener.accept()
            held.append(peer)
            peer.recv(65536)
            peer.sendall(b"\x82\xa5Error\xa0\xa3Seq\x00" + said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        connection = SerfConnection("127.0.0.1", listener.getsockname()[1], LIMIT_S)
        connection.handshake()
        thread.join(LIMIT_S)
        return connection

    yield connected
    for end in [listener, *held]:
        end.close()


def test_an_answer_that_comes_too_late_is_not_taken_for_another(scripted: Callable[[bytes], SerfConnection]) -> None:
    connection = scripted(b"")
    assert connection._socket is not None
    connection._socket.settimeout(0.05)
    with pytest.raises(SerfTimeout):
        connection.call("members")
    late = b"\x82\xa5Error\xa0\xa3Seq\x01\x81\xa7Members\x90"
    connection._unpacker.feed(late + b"\x82\xa5Error\xa0\xa3Seq\x02\x81\xa3Num\x07")
    assert connection.call("join", {"Existing": []}).body == {"Num": 7}


def test_a_request_that_is_sent_in_part_ends_the_connection(scripted: Callable[[bytes], SerfConnection]) -> None:
    connection = scripted(b"")
    assert connection._socket is not None
    connection._socket.settimeout(0.05)
    with pytest.raises(SerfTimeout, match="sending"):
        connection.call("join", {"Existing": ["x" * (64 << 20)]})
    with pytest.raises(SerfConnectionError, match="handshake"):
        connection.call("members")


@pytest.mark.parametrize("said", [b"\x82\xa5Error\xa0\xa3Seq\x2a", b"\x93\x01\x02\x03", b"\xc1"])
def test_what_is_no_answer_is_told(scripted: Callable[[bytes], SerfConnection], said: bytes) -> None:
    with pytest.raises(SerfProtocolError):
        scripted(said).call("stats")


def test_a_refused_call_does_not_wait_for_a_body_that_never_comes(start: Start) -> None:
    agent = start(folkmoot_program(), "secure", auth_key="s3cret")
    with pytest.raises(SerfTimeout, match="Authentication required"):
        SerfClient(host=agent.ip, timeout=None).members()


def test_a_stream_ends_when_the_client_is_closed(start: Start, program: str) -> None:
    agent = start(program, "alpha")
    client, sender = SerfClient(host=agent.ip, timeout=LIMIT_S), SerfClient(host=agent.ip, timeout=LIMIT_S)
    records = client.stream("user").body
    sender.event("deploy", coalesce=False)
    assert next(records).body["Name"] == "deploy"
    threading.Thread(target=client.close, daemon=True).start()
    assert list(records) == []
    sender.close()
