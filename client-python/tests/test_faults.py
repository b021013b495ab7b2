"""What goes wrong between a client and its agent: each fault is the documented exception, in time, in both faces."""

import os
import threading

import folkmoot
import pytest
from fake_agent import MEMBERS, answer
from faces import GO
from waiting import eventually

#: Seconds within which something has to be noticed that is noticed at once on an idle machine.
PATIENCE = 60.0


def wait_for_stream(moot):
    """Once a later call is answered, a stream that was opened before runs."""
    moot.stats()


def test_a_stream_goes_on_when_its_agent_was_started_again(face, agents):
    (node,) = agents(raft=False).nodes
    moot = face.connect(node.address, reconnect=PATIENCE)
    with moot.stream("user") as events:
        wait_for_stream(moot)
        moot.event("before", coalesce=False)
        assert events.next(PATIENCE).name == "before"
        node.kill()
        node.start()
        gap = events.next(PATIENCE)
        assert gap == folkmoot.Gap("gap", True, 0)
        wait_for_stream(moot)
        moot.event("after", coalesce=False)
        assert events.next(PATIENCE).name == "after"


def test_a_stream_says_when_no_agent_is_found_any_more_and_may_be_asked_again(face, agents):
    (node,) = agents(raft=False).nodes
    moot = face.connect(node.address, reconnect=0.2)
    with moot.stream("user") as events:
        wait_for_stream(moot)
        node.kill()
        for _ in range(2):
            with pytest.raises(folkmoot.ConnectError):
                events.next(PATIENCE)
        node.start()
        assert events.next(PATIENCE).reconnected


def test_a_closed_stream_hands_out_nothing_more(face, agents):
    (node,) = agents(raft=False).nodes
    moot = face.connect(node.address)
    events = moot.stream("user")
    wait_for_stream(moot)
    for name in ("first", "second", "third"):
        moot.event(name, coalesce=False)
    assert events.next(PATIENCE).name == "first"
    events.close()
    assert events.next(PATIENCE) is None and list(events) == []


def test_a_stream_that_is_closed_while_an_agent_is_looked_for_leaves_none_behind(fake):
    again, closed, asked = threading.Event(), threading.Event(), []

    def serve(connection, requests):
        command, number, _ = next(requests)
        asked.append(command)
        if len(asked) > 1:
            again.set()
            assert closed.wait(PATIENCE)
        connection.sendall(answer(number))
        if len(asked) > 1:
            asked.append(next(requests)[0])

    moot = folkmoot.connect(fake(serve).address, reconnect=PATIENCE, timeout=PATIENCE)
    events, read = moot.stream("user"), []
    reader = threading.Thread(target=lambda: read.append(events.next(PATIENCE)))
    reader.start()
    assert again.wait(PATIENCE)
    events.close()
    closed.set()
    reader.join(PATIENCE)
    assert read == [None]
    eventually(lambda: asked == ["stream", "stream", "stop"], "the second stream is stopped")
    moot.close()


def test_an_event_that_was_not_read_in_time_leaves_a_gap_and_holds_up_nobody(face, agents):
    (node,) = agents(raft=False).nodes
    moot = face.connect(node.address)
    with moot.stream("user") as events:
        wait_for_stream(moot)
        # The client keeps 512 for a slow reader.
        for number in range(3_000):
            moot.event("e%d" % number, coalesce=False)
        assert moot.members()
        read, missed = 0, 0
        while not missed or read < 512:
            record = events.next(PATIENCE)
            missed += record.dropped if record.event == "gap" else 0
            read += record.event == "user"
        assert missed == events.dropped


def test_an_answer_that_is_cut_is_closed_and_its_outcome_unknown(face, fake):
    def cut(connection, requests):
        _, number, _ = next(requests)
        connection.sendall(answer(number, MEMBERS)[:-3])

    moot = face.connect(fake(cut).address, reconnect=None)
    with pytest.raises(folkmoot.Closed) as fault:
        moot.members(timeout=PATIENCE)
    assert fault.value.outcome == "unknown"


def test_a_question_is_asked_again_on_another_connection(face, fake):
    first = threading.Event()

    def cut_once(connection, requests):
        for _, number, _ in requests:
            if not first.is_set():
                first.set()
                return
            connection.sendall(answer(number, MEMBERS))

    moot = face.connect(fake(cut_once).address, reconnect=PATIENCE)
    assert moot.members(timeout=PATIENCE) == []
    assert first.is_set()


def test_an_event_is_not_fired_twice(face, fake):
    fired = []

    def cut(connection, requests):
        command, _, body = next(requests)
        fired.append((command, body["Name"]))

    moot = face.connect(fake(cut).address, reconnect=PATIENCE)
    with pytest.raises(folkmoot.Closed):
        moot.event("deploy", timeout=PATIENCE)
    assert fired == [("event", "deploy")]


def test_what_is_no_answer_is_a_protocol_error(face, fake):
    def nonsense(connection, requests):
        next(requests)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        next(requests)

    moot = face.connect(fake(nonsense).address, reconnect=None)
    with pytest.raises(folkmoot.ProtocolError):
        moot.members(timeout=PATIENCE)


@pytest.mark.parametrize("program", [None, GO], ids=["folkmoot", "go"])
def test_an_agent_that_hangs_is_a_timeout_and_serves_again_afterwards(face, agents, program):
    (node,) = agents(raft=False, program=program).nodes
    moot = face.connect(node.address)
    with moot.stream("user") as events:
        wait_for_stream(moot)
        node.pause()
        with pytest.raises(folkmoot.Timeout) as fault:
            moot.members(timeout=0.3)
        assert fault.value.outcome == "unknown"
        with pytest.raises(TimeoutError):
            moot.members(timeout=0.1)
        with pytest.raises(folkmoot.Timeout):
            events.next(0.1)
        with pytest.raises(folkmoot.ConnectError):
            face.connect(node.address, connect_timeout=0.3)
        node.resume()
        assert len(moot.members(timeout=PATIENCE)) == 1
        moot.event("after", coalesce=False, timeout=PATIENCE)
        assert events.next(PATIENCE).name == "after"


def test_nobody_there_is_a_connect_error(face):
    with pytest.raises(folkmoot.ConnectError):
        face.connect("127.0.0.1:1", connect_timeout=PATIENCE)
    with pytest.raises(folkmoot.ConnectError):
        face.connect("unix:///nonexistent/folkmoot.sock")
    with pytest.raises(ConnectionError):
        face.connect("no-port")


@pytest.mark.parametrize("program", [None, GO], ids=["folkmoot", "go"])
def test_a_wrong_key_is_an_auth_error(face, agents, tmp_path, program):
    if program is None:
        (node,) = agents(raft=False, auth_key="right").nodes
    else:
        config = tmp_path / "auth.json"
        config.write_text('{"rpc_auth": "right"}')
        (node,) = agents(raft=False, auth_key="right", program=program, arguments=[f"-config-file={config}"]).nodes
    for wrong in ("wrong", ""):
        with pytest.raises(folkmoot.AuthError):
            face.connect(node.address, auth_key=wrong).members()
    assert len(face.connect(node.address, auth_key="right").members()) == 1


def test_a_filter_that_cannot_be_read_closes_the_connection_and_the_next_call_has_another(face, agents):
    (node,) = agents(raft=False).nodes
    moot = face.connect(node.address)
    with pytest.raises((folkmoot.Closed, folkmoot.RemoteError)):
        moot.members(name="(")
    assert len(moot.members()) == 1


def test_another_agent_is_used_when_one_goes_away(face, agents):
    cluster = agents(2, raft=False)
    moot = face.connect(*cluster.addresses, reconnect=PATIENCE)
    assert moot.stats()["agent"]["name"] == "n1"
    cluster.node("n1").kill()
    assert moot.stats(timeout=PATIENCE)["agent"]["name"] == "n2"


def test_gos_agent_has_no_coordination_and_goes_on_with_what_it_has(face, agents):
    (node,) = agents(raft=False, program=GO).nodes
    moot = face.connect(node.address, reconnect=PATIENCE)
    for call in (
        lambda: moot.kv.get("a"),
        lambda: moot.kv.put("a", b"1"),
        lambda: moot.lock("a").try_acquire(),
        lambda: moot.work_queue("a").claim(timeout=0.0),
        lambda: moot.session(),
        lambda: moot.watch().next(PATIENCE),
        moot.group.status,
    ):
        with pytest.raises(folkmoot.Unsupported) as fault:
            call()
        assert fault.value.outcome == "nothing done" and "no coordination" in str(fault.value)
    assert len(moot.members()) == 1


def test_an_agent_without_a_group_says_so(face, agents):
    (node,) = agents(raft=False).nodes
    moot = face.connect(node.address)

    def told():
        try:
            moot.kv.get("a", timeout=2.0)
        except folkmoot.NoGroup:
            return True
        except folkmoot.Timeout:
            return False

    eventually(told, "it says so, if not while the machine stands still")


def test_a_watch_misses_nothing_when_its_agent_dies_and_repeats_nothing(face, agents):
    cluster = agents(3)
    watcher = face.connect(*cluster.addresses, reconnect=PATIENCE)
    mine = watcher.stats()["agent"]["name"]
    others = [node.address for node in cluster.nodes if node.name != mine]
    writer = face.connect(*others, reconnect=PATIENCE, timeout=PATIENCE)
    with watcher.kv.watch("w/") as changes:
        for number in range(60):
            writer.kv.put("w/%d" % number, str(number))
            if number == 30:
                assert changes.next(PATIENCE).key == "w/0"
                cluster.node(mine).kill()
        assert [changes.next(PATIENCE).key for _ in range(59)] == ["w/%d" % number for number in range(1, 60)]


def test_a_watch_that_is_read_late_has_every_change(face, agents):
    (node,) = agents().nodes
    moot = face.connect(node.address, timeout=PATIENCE)
    with moot.kv.watch("late/") as changes:
        for number in range(700):
            moot.kv.put("late/a", str(number))
        assert [int(changes.next(PATIENCE).value) for _ in range(700)] == list(range(700))
        assert changes.dropped == 0


def test_a_write_finds_another_agent_when_its_own_falls_silent(face, agents):
    cluster = agents(3)
    moot = face.connect(*cluster.addresses, connect_timeout=2.0, reconnect=PATIENCE)
    assert moot.counter("silent").add(timeout=PATIENCE) == 1
    name = moot.stats()["agent"]["name"]
    cluster.node(name).pause()
    assert moot.counter("silent").add(timeout=PATIENCE) == 2
    assert moot.stats()["agent"]["name"] != name


def test_a_group_without_quorum_names_who_is_missing_and_goes_on_with_stale_reads(face, agents):
    cluster = agents(3)
    leader = cluster.leader()
    moot = face.connect(leader.address, timeout=PATIENCE)
    moot.kv.put("q/a", b"1")
    # It may lead no more, and then it learns of the write a little later.
    eventually(lambda: moot.kv.stale().get("q/a") is not None, "this member has the write")
    others = [node for node in cluster.nodes if node is not leader]
    for node in others:
        node.kill()

    def named():
        try:
            moot.kv.get("q/a", timeout=10.0)
        except folkmoot.NoQuorum as fault:
            return all(node.name in str(fault) for node in others)
        except folkmoot.Timeout:
            return False

    eventually(named, "both voters are named")
    assert moot.kv.stale().get("q/a").value == b"1"
    assert moot.members()


def test_what_happens_to_a_connection_is_logged(face, agents, caplog):
    (node,) = agents(raft=False).nodes
    moot = face.connect(node.address, reconnect=PATIENCE)
    with caplog.at_level("INFO", logger="folkmoot"):
        moot.members()
        node.kill()
        node.start()
        moot.members()

        def told(level, word):
            return any(record.levelname == level and word in record.getMessage() for record in caplog.records)

        eventually(lambda: told("WARNING", "lost") and told("INFO", f"connected to {node.address}"), "both are logged")


def test_a_client_says_whether_it_is_connected(face, agents):
    (node,) = agents(raft=False).nodes
    moot = face.connect(node.address, reconnect=PATIENCE)
    assert not moot.is_closed and repr(moot).endswith(": connected>")
    node.kill()
    eventually(lambda: moot.is_closed and repr(moot).endswith(": not connected>"), "it is lost")
    node.start()
    assert moot.members() and not moot.is_closed


def test_a_closed_client_says_so(face, agents):
    (node,) = agents(raft=False).nodes
    moot = face.connect(node.address)
    events = moot.stream("user")
    assert repr(moot) == f"<{face.package.__name__}.Client {node.address}: connected>"
    moot.close()
    assert repr(moot).endswith(": not connected>")
    for call in (moot.members, lambda: moot.kv.get("a"), lambda: events.next(PATIENCE)):
        with pytest.raises(folkmoot.Closed):
            call()
    moot.close()


def open_files():
    return len(os.listdir("/proc/self/fd"))


def threads():
    return len(os.listdir("/proc/self/task"))


def resident():
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_ten_thousand_reconnects_leave_nothing_behind(face, fake):
    def serve_one(connection, requests):
        _, number, _ = next(requests)
        connection.sendall(answer(number, MEMBERS))

    agent = fake(serve_one)
    moot = face.connect(agent.address, reconnect=PATIENCE, timeout=PATIENCE)
    for _ in range(500):
        moot.members()
    files, running, memory = open_files(), threads(), resident()
    for _ in range(9_500):
        moot.members()
    assert agent.connections >= 10_000
    eventually(lambda: open_files() <= files + 8 and threads() <= running + 8, "all is closed")
    assert resident() < memory + (64 << 20)


def test_a_thousand_clients_leave_nothing_behind(face, agents):
    (node,) = agents(raft=False).nodes

    def use():
        with face.package.connect(node.address) if face.name == "blocking" else face.connect(node.address) as moot:
            moot.stream("user")
            assert len(moot.members()) == 1

    for _ in range(50):
        use()
    files, running = open_files(), threads()
    for _ in range(1_000):
        use()
    eventually(lambda: open_files() <= files + 8 and threads() <= running + 8, "all is closed")
