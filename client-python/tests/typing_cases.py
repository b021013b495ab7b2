"""What type checkers have to find: checked by mypy and basedpyright in strict mode (`scripts/python`), never run."""

from typing import Dict as PlainDict
from typing import List as PlainList
from typing import MutableMapping, MutableSequence, MutableSet, Optional, Tuple, Union

import folkmoot
import folkmoot.aio
from typing_extensions import assert_type


class Point:
    """A value of its own."""


class Points:
    """A codec of one's own needs nothing but these two."""

    def encode(self, value: Point, /) -> bytes:
        return repr(value).encode()

    def decode(self, data: bytes, /) -> Point:
        return Point()


def blocking() -> None:
    with folkmoot.connect("127.0.0.1:7373", timeout=5.0) as moot:
        assert_type(moot, folkmoot.Client)
        assert_type(moot.members(status="alive"), PlainList[folkmoot.Member])
        assert_type(moot.stats(), PlainDict[str, PlainDict[str, str]])
        assert_type(moot.kv.get("a"), Optional[folkmoot.Entry])
        assert_type(moot.kv.put("a", b"1", session=None), int)
        assert_type(moot.dict("points", Points()), folkmoot.Dict[Point])
        assert_type(moot.dict("points", Points())["a"], Point)
        assert_type(moot.queue("points", codec=Points()).get(timeout=1.0), Point)
        assert_type(moot.set("names", folkmoot.Text).pop(), str)
        assert_type(moot.list("names", folkmoot.Text)[0], str)
        assert_type(moot.list("names", folkmoot.Text)[1:], PlainList[str])
        mapping: MutableMapping[str, Point] = moot.dict("points", Points())
        names: MutableSet[str] = moot.set("names", folkmoot.Text)
        sequence: MutableSequence[str] = moot.list("names", folkmoot.Text)
        print(mapping, names, sequence)
        with moot.lock("a", ttl=10.0) as held:
            assert_type(held, folkmoot.Held)
            assert_type(held.token, int)
        assert_type(moot.lock("a").try_acquire(), Optional[folkmoot.Held])
        with moot.lock("a").acquire(timeout=1.0) as held:
            assert_type(held.lost(timeout=1.0), Optional[str])
        with moot.election("e", value="n1", codec=folkmoot.Text).campaign() as term:
            assert_type(term, folkmoot.Term)
        assert_type(moot.election("e", codec=folkmoot.Text).leader(), Optional[str])
        with moot.work_queue("w", Points()).claim() as item:
            assert_type(item, folkmoot.Item[Point])
            assert_type(item.payload, Point)
        for event in moot.stream("user"):
            assert_type(event, folkmoot.Event)
            if isinstance(event, folkmoot.UserEvent):
                assert_type(event.payload, bytes)
        for answer in moot.query("load"):
            assert_type(answer, Union[folkmoot.Answer, folkmoot.Ack])
        for change in moot.kv.watch("config/"):
            assert_type(change, Union[folkmoot.Change, folkmoot.Resync])
        for leader in moot.election("e").observe():
            assert_type(leader, folkmoot.Leader)


async def asynchronous() -> None:
    async with folkmoot.aio.connect() as moot:
        assert_type(moot, folkmoot.aio.Client)
        assert_type(await moot.members(), PlainList[folkmoot.Member])
        points = moot.dict("points", Points())
        assert_type(points, folkmoot.aio.Dict[Point])
        assert_type(await points.get("a"), Optional[Point])
        assert_type(await points.get("a", 7), Union[Point, int])
        assert_type(await points.items(), PlainList[Tuple[str, Point]])
        async with moot.lock("a") as held:
            assert_type(held, folkmoot.aio.Held)
        held = await moot.lock("a").acquire(timeout=1.0)
        async with moot.lock("a").acquire() as held:
            assert_type(await held.lost(), Optional[str])
        async with moot.election("e").campaign() as term:
            assert_type(term, folkmoot.aio.Term)
        async with moot.work_queue("w", Points()).claim(capabilities=["gpu"]) as item:
            assert_type(item.payload, Point)
        assert_type(await moot.work_queue("w", Points()).claim_many(4), PlainList[folkmoot.aio.Item[Point]])
        async for event in moot.stream("*"):
            assert_type(event, folkmoot.Event)
        async with moot.stream("*") as events:
            assert_type(events, folkmoot.aio.Events)
        assert_type(await (await moot.kv.watch("a")).next(), Union[folkmoot.Change, folkmoot.Resync, None])
    client = await folkmoot.aio.connect("unix:///run/folkmoot.sock", auth_key="k")
    await client.close()
