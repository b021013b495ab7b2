"""The serf-python API, against agents of both kinds."""

from __future__ import annotations

import threading
from typing import Any, Callable, List

import pytest

from compat.conftest import Agent, folkmoot_program
from waiting import LIMIT_S, eventually
from folkmoot.compat import serf

Start = Callable[..., Agent]


def client_of(agent: Agent, **options: Any) -> serf.Client:
    return serf.Client(agent.ip, **options)


def test_commands_are_collected_sent_together_and_answered_in_order(start: Start, program: str) -> None:
    alpha, beta = start(program, "alpha", "-tag=role=web"), start(program, "beta")
    seen: List[Any] = []
    client = client_of(alpha)
    client.join(Existing=(beta.ip,), Replay=False).add_callback(lambda answer: seen.append(("join", answer.body)))
    client.event(Name="deploy", Payload="v1", Coalesce=False).event(Name="deploy", Payload="v2", Coalesce=False)
    client.members(Name="alpha").add_callback(seen.append, lambda answer: seen.append("second"))
    answers = client.request(timeout=LIMIT_S)
    assert [answer.request.command for answer in answers] == ["handshake", "join", "event", "event", "members"]
    assert [answer.seq for answer in answers] == [0, 1, 2, 3, 4]
    assert all(answer.is_success and answer.error == "" for answer in answers)
    assert seen == [("join", {"Num": 1}), answers[-1], "second"]
    member = answers[-1].body["Members"][0]
    assert member["Addr"] == [int(part) for part in alpha.ip.split(".")]
    assert (member["Name"], member["Status"], member["Tags"]) == ("alpha", "alive", {"role": "web"})
    assert [type(answer).__name__ for answer in answers[:2]] == ["ResponseHandshake", "ResponseJoin"]
    # The connection is greeted once.
    assert [answer.request.command for answer in client.stop(Stop=50).request(timeout=LIMIT_S)] == ["stop"]
    client.disconnect()


def test_a_watched_stream_calls_back_until_a_callback_stops_it(start: Start, program: str) -> None:
    agent = start(program, "alpha")
    sender, heard = client_of(agent), []

    def hear(response: Any) -> None:
        heard.append((response.body["Name"], response.body["Payload"]))
        if len(heard) == 2:
            raise serf.StopReceiveData

    watcher = client_of(agent)
    watcher.handshake().request(timeout=LIMIT_S)
    watcher.stream(Type="user:deploy").stop(Stop=99).add_callback(
        # The agent reads the next request of a connection when the stream before it runs.
        lambda _: [sender.event(Name="deploy", Payload=text, Coalesce=False).request(timeout=LIMIT_S) for text in ("v1", "v2")]
    )
    watcher._collected[0].add_callback(hear)
    assert [answer.request.command for answer in watcher.watch()] == ["stop"]
    assert heard == [("deploy", "v1"), ("deploy", "v2")]


def test_a_stream_ends_where_it_is_stopped(start: Start, program: str) -> None:
    client = client_of(start(program, "alpha"))
    lines: List[str] = []

    def stop(response: Any) -> None:
        lines.append(response.body["Log"])
        client.stop(Stop=response.seq).request(timeout=LIMIT_S)

    client.monitor(LogLevel="DEBUG").add_callback(stop).watch()
    assert lines
    assert client.members().request(timeout=LIMIT_S)[0].is_success


def test_a_query_is_answered_from_a_callback_and_waited_for_to_its_end(start: Start, program: str) -> None:
    alpha, beta = start(program, "alpha"), start(program, "beta")
    asker, ready = client_of(alpha), threading.Event()
    assert asker.join(Existing=[beta.ip], Replay=False).request(timeout=LIMIT_S)[1].is_success

    def answer() -> None:
        # A client belongs to its thread.
        worker = client_of(beta)

        def respond(response: Any) -> None:
            worker.respond(ID=response.body["ID"], Payload="7").request(timeout=LIMIT_S)
            raise serf.StopReceiveData

        worker.stream(Type="query").add_callback(respond)
        worker.stop(Stop=99).add_callback(lambda _: ready.set())
        worker.watch()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    assert ready.wait(LIMIT_S)
    answers = asker.query(Name="load", Payload="5m", FilterNodes=["beta"], RequestAck=True).request(timeout=LIMIT_S)
    # The acknowledgement and the answer travel as datagrams of their own.
    told = sorted((reply.body["Type"], reply.body["From"], reply.body["Payload"]) for reply in answers[:-1])
    assert [kind for kind, _, _ in told] == ["ack", "response"] and told[1] == ("response", "beta", "7")
    assert answers[-1].body["Type"] == "done"
    thread.join(LIMIT_S)
    assert not thread.is_alive()


def test_the_next_host_is_asked_when_one_dies(start: Start, program: str) -> None:
    alpha, beta = start(program, "alpha"), start(program, "beta")
    client = serf.Client("serf://%s:7373, %s:7373" % (alpha.ip, beta.ip), auto_reconnect=True)

    def names() -> List[str]:
        return [member["Name"] for member in client.members().request(timeout=LIMIT_S)[-1].body["Members"]]

    assert names() == ["alpha"]
    alpha.kill()
    assert names() == ["beta"]
    alpha.start()
    beta.kill()
    assert names() == ["alpha"]


def test_a_watch_goes_on_at_the_next_host(start: Start, program: str) -> None:
    alpha, beta = start(program, "alpha"), start(program, "beta")
    client, heard, over = serf.Client("%s,%s" % (alpha.ip, beta.ip)), [], threading.Event()

    def send_until_over() -> None:
        sender = client_of(beta)
        while not over.wait(0.05):
            sender.event(Name="deploy", Payload="v1", Coalesce=False).request(timeout=LIMIT_S)

    def hear(response: Any) -> None:
        heard.append(response.body["Name"])
        raise serf.StopReceiveData

    client.stream(Type="user").add_callback(hear)
    client.members().add_callback(lambda _: alpha.kill())
    thread = threading.Thread(target=send_until_over, daemon=True)
    thread.start()
    client.watch()
    over.set()
    thread.join(LIMIT_S)
    assert heard == ["deploy"] and client._conn.current_member[0] == beta.ip


def test_what_makes_each_agent_close_the_connection_is_not_asked_for_ever(start: Start, program: str) -> None:
    client = client_of(start(program, "alpha"))
    with pytest.raises(serf.ConnectionLost):
        client.members(Name="(").request(timeout=LIMIT_S)
    assert client.members().request(timeout=LIMIT_S)[-1].is_success


def test_no_host_and_no_agent_are_told(start: Start) -> None:
    agent = start(folkmoot_program(), "alpha")
    agent.kill()
    with pytest.raises(serf.ConnectionError):
        client_of(agent).connect()
    with pytest.raises(serf.RpcError):
        client_of(agent).request(timeout=LIMIT_S)


@pytest.mark.parametrize(
    "hosts, expected",
    [
        ("10.0.0.1", [("10.0.0.1", 7373, {})]),
        ("serf://10.0.0.1:7374,10.0.0.2:7300", [("10.0.0.1", 7374, {}), ("10.0.0.2", 7300, {})]),
        ("serf://a:1?AuthKey=k+1,b", [("a", 1, {"AuthKey": "k+1"}), ("b", 7373, {})]),
    ],
)
def test_hosts(hosts: str, expected: List[Any]) -> None:
    assert serf.Client(hosts)._conn.members == expected


@pytest.mark.parametrize("hosts", ["http://10.0.0.1", "serf://", "10.0.0.1:port", "10.0.0.1?Key=k"])
def test_hosts_that_are_none(hosts: str) -> None:
    with pytest.raises(serf.InvalidHostURL):
        serf.Client(hosts)


@pytest.mark.parametrize(
    "command, arguments",
    [
        ("query", {}),
        ("query", {"Name": "load", "Timeout": "5"}),
        ("query", {"Name": "load", "Payload": "x" * 1024}),
        ("event", {"Name": "deploy"}),
        ("event", {"Name": "deploy", "Payload": "x" * 300}),
        ("event", {"Name": "deploy", "Payload": "x", "Coalesce": 1}),
        ("auth", {"AuthKey": 1}),
        ("join", {"Existing": "10.0.0.1", "Replay": False}),
        ("members", {"Tag": {}}),
        ("stream", {"Type": " , "}),
        ("tags", {}),
        ("stop", {"Stop": "1"}),
        ("leave", {"Node": "a"}),
    ],
)
def test_wrong_arguments_are_refused_before_they_are_sent(command: str, arguments: Any) -> None:
    with pytest.raises(serf.InvalidRequest):
        getattr(serf.Client(), command)(**arguments)


def test_unchecked_requests_and_unknown_commands() -> None:
    with pytest.raises(serf.UncheckedRequest):
        serf.get_request_class("members")().packed()
    with pytest.raises(AttributeError):
        serf.Client().fly


def test_the_key_is_shown_and_a_wrong_one_told(start: Start) -> None:
    agent = start(folkmoot_program(), "secure", auth_key="s3cret")
    answers = serf.Client("serf://%s?AuthKey=s3cret" % agent.ip).members().request(timeout=LIMIT_S)
    assert [answer.request.command for answer in answers] == ["handshake", "auth", "members"]
    with pytest.raises(serf.AuthenticationError):
        serf.Client("serf://%s?AuthKey=wrong" % agent.ip).members().request(timeout=LIMIT_S)
    with pytest.raises(serf.AuthenticationError):
        client_of(agent).auth(AuthKey="wrong").request(timeout=LIMIT_S)
    refused = client_of(agent).members().request(timeout=LIMIT_S)[1]
    assert (refused.is_success, refused.error, refused.body) == (False, "Authentication required", None)


def test_with_connects_and_disconnects_once_all_is_answered(start: Start, program: str) -> None:
    agent = start(program, "alpha")
    with client_of(agent) as client:
        answers = client.members().disconnect(wait=True).request(timeout=LIMIT_S)
        assert answers[-1].is_success
        eventually(lambda: client._conn.disconnected, "disconnected after the answer")
    with pytest.raises(serf.Disconnected):
        client.members().request(timeout=LIMIT_S)
    assert client.connect().members().request(timeout=LIMIT_S)[-1].is_success


def test_tags_and_failures_are_answered(start: Start, program: str) -> None:
    client = client_of(start(program, "alpha", "-tag=old=1"))
    assert client.tags(Tags={"role": "db"}, DeleteTags=["old"]).request(timeout=LIMIT_S)[1].is_success
    assert client.members().request(timeout=LIMIT_S)[0].body["Members"][0]["Tags"] == {"role": "db"}
    refused = client.join(Existing=["127.0.0.1:9"], Replay=False).request(timeout=LIMIT_S)[0]
    assert not refused.is_success and "connection refused" in refused.error
    assert client.members().request(timeout=LIMIT_S)[0].is_success
