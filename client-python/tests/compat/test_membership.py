"""The membership adapter, against agents of both kinds."""

from __future__ import annotations

import asyncio
from typing import Callable, List

from compat.conftest import Agent, folkmoot_program
from waiting import LIMIT_S, eventually
from folkmoot.compat.membership import Membership
from folkmoot.compat.serfclient import SerfClient

Start = Callable[..., Agent]


def join(one: Agent, other: Agent) -> None:
    client = SerfClient(host=one.ip, timeout=LIMIT_S)
    assert client.join(other.ip).body["Num"] == 1
    client.close()


def test_members_that_come_and_go_are_told_by_name(start: Start, program: str) -> None:
    alpha, beta = start(program, "alpha"), start(program, "beta")
    told: List[str] = []
    membership = Membership(
        alpha.ip + ":7373",
        on_member_alive=lambda name: told.append("alive " + name),
        on_member_failed=lambda name: told.append("failed " + name),
    )
    assert not membership.is_healthy()
    assert membership.start(LIMIT_S)
    assert membership.is_healthy() and membership.get_alive_peers() == [] and membership.get_member_count() == 1
    join(alpha, beta)
    eventually(lambda: told == ["alive beta"], "beta has come")
    assert (membership.get_alive_peers(), membership.get_member_count()) == (["beta"], 2)
    assert membership.is_peer_alive("beta") and not membership.is_peer_alive("nobody")
    beta.kill()
    eventually(lambda: told == ["alive beta", "failed beta"], "beta has failed")
    assert not membership.is_peer_alive("beta") and membership.get_alive_peers() == []
    assert membership.get_membership_summary() == {
        "node_id": "alpha",
        "started": True,
        "healthy": True,
        "members": 2,
        "alive": 1,
        "suspected": 0,
        "failed": 1,
        "left": 0,
        "peers": {"alpha": "alive", "beta": "failed"},
    }
    beta.start()
    join(beta, alpha)
    eventually(lambda: told[2:] == ["alive beta"], "beta is back")
    membership.stop()
    assert not membership.is_healthy() and not membership.get_membership_summary()["started"]


def test_a_member_that_leaves_is_told_apart_where_that_is_wanted(start: Start, program: str) -> None:
    alpha, beta = start(program, "alpha"), start(program, "beta")
    join(alpha, beta)
    told: List[str] = []
    membership = Membership([alpha.ip + ":7373"], on_member_left=lambda name: told.append("left " + name))
    assert membership.start(LIMIT_S)
    eventually(lambda: membership.is_peer_alive("beta"), "beta is there")
    leaving = SerfClient(host=beta.ip, timeout=LIMIT_S)
    leaving.connection.call("leave", expect_body=False)
    eventually(lambda: told == ["left beta"], "beta has left")
    membership.stop()


def test_an_agent_that_dies_makes_it_unhealthy_until_it_is_back(start: Start) -> None:
    alpha = start(folkmoot_program(), "alpha")
    membership = Membership(alpha.ip + ":7373")
    assert membership.start(LIMIT_S)
    alpha.kill()
    eventually(lambda: not membership.is_healthy(), "it notices")
    alpha.start()
    eventually(membership.is_healthy, "it is well again")
    membership.stop()


def test_a_new_start_begins_anew(start: Start) -> None:
    alpha, beta = (start(folkmoot_program(), name) for name in ("alpha", "beta"))
    join(alpha, beta)
    told: List[str] = []
    membership = Membership(alpha.ip + ":7373", on_member_alive=told.append)
    for times in (1, 2):
        assert membership.start(LIMIT_S)
        eventually(lambda: told == ["beta"] * times, "beta is told of at each start")
        assert membership.stop()
    assert membership.get_alive_peers() == [] and membership.get_member_count() == 0
    alpha.kill()
    assert not membership.start(0.05), "what was known before is no answer"
    membership.stop()


def test_a_member_that_was_seen_leaving_is_told_of_when_it_has_left(start: Start) -> None:
    alpha, told = start(folkmoot_program(), "alpha"), []
    membership = Membership(alpha.ip + ":7373", on_member_alive=told.append, on_member_left=told.append)
    assert membership.start(LIMIT_S)
    run = membership._run
    assert run is not None
    for status in ("alive", "leaving", "alive", "leaving", "left"):
        run._change("beta", status)
    assert told == ["beta", "beta"], "it has come, and has left"
    membership.stop()


def test_an_event_loop_goes_on_while_it_starts_and_ends() -> None:
    async def program() -> None:
        rounds = 0

        async def count() -> None:
            nonlocal rounds
            while True:
                rounds += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        membership = Membership("127.0.0.1:9")
        assert await membership.start(0.05) is False
        before = rounds
        assert before > 1
        assert await membership.stop() is True
        assert rounds > before
        counting.cancel()

    asyncio.run(program())


def test_nobody_there_is_no_success_and_ends_at_once() -> None:
    membership = Membership("127.0.0.1:9")
    assert not membership.start(0.05)
    assert not membership.is_healthy() and membership.get_member_count() == 0
    membership.stop()


def test_in_asyncio_programs_callbacks_run_on_their_loop(start: Start) -> None:
    alpha, beta = (start(folkmoot_program(), name) for name in ("alpha", "beta"))
    join(alpha, beta)

    async def program() -> str:
        told: "asyncio.Future[str]" = asyncio.get_running_loop().create_future()

        async def alive(name: str) -> None:
            told.set_result(name)

        membership = Membership(alpha.ip + ":7373", on_member_alive=alive)
        assert await membership.start(LIMIT_S) is True
        name = await asyncio.wait_for(told, LIMIT_S)
        assert await membership.stop() is True
        return name

    assert asyncio.run(program()) == "beta"
