"""Dictionaries, sets, lists and queues: Python's protocols in the blocking face, its names in the asyncio one."""

import asyncio
import json
import queue
from collections.abc import MutableMapping, MutableSequence, MutableSet

import folkmoot
import folkmoot.aio
import pytest
from faces import PATIENT


@pytest.fixture
def client(one):
    with one.connect(**PATIENT) as moot:
        yield moot


@pytest.fixture
def name(request):
    """A name that no other test has."""
    return request.node.name


def test_a_dictionary_is_a_mutable_mapping(client, name):
    jobs = client.dict(name)
    assert isinstance(jobs, MutableMapping)
    assert dict(jobs) == {} and not jobs and "a" not in jobs
    jobs["a"] = {"node": "n1", "games": [1, 2]}
    jobs.update({"b": None}, c="ä")
    assert jobs["a"]["games"] == [1, 2] and jobs["b"] is None and jobs.get("z", 7) == 7
    assert list(jobs) == ["a", "b", "c"] and len(jobs) == 3 and "a" in jobs and 1 not in jobs
    assert list(jobs.items())[2] == ("c", "ä") and list(jobs.values())[1] is None
    assert ("c", "ä") in jobs.items() and jobs.keys() & {"a", "z"} == {"a"}
    assert jobs == {"a": {"node": "n1", "games": [1, 2]}, "b": None, "c": "ä"}
    assert jobs.setdefault("c", 1) == "ä" and jobs.setdefault("d", 1) == 1
    assert jobs.pop("d") == 1 and jobs.pop("d", None) is None
    with pytest.raises(KeyError):
        jobs.pop("d")
    with pytest.raises(KeyError):
        jobs["d"]
    with pytest.raises(KeyError):
        del jobs["d"]
    del jobs["c"]
    assert jobs.popitem()[0] in ("a", "b")
    jobs.clear()
    assert len(jobs) == 0


def test_a_key_is_popped_by_one_only_and_another_one_is_taken_then(client, name, monkeypatch):
    jobs = client.dict(name)
    jobs.update(a=1, b=2)
    listed = jobs.entries

    def taken_meanwhile():
        entries = listed()
        client.dict(name).pop("a", None)
        return entries

    monkeypatch.setattr(jobs, "entries", taken_meanwhile)
    assert jobs.popitem() == ("b", 2)
    with pytest.raises(KeyError):
        jobs.popitem()


def test_dictionaries_keep_to_themselves_and_have_revisions(client, name):
    one, other = client.dict(name), client.dict(name + "/sub")
    one["x"], other["x"] = 1, 2
    assert other == {"x": 2}
    found = one.entry("x")
    assert found.value == 1 and found.key == "x"
    assert not one.compare_and_set("x", found.modified + 1, 5).written
    swap = one.compare_and_set("x", found.modified, 5)
    assert swap.written and one.entry("x").modified == swap.revision
    assert one.take("x").value == 5 and one.take("x") is None


def test_a_watch_of_a_dictionary_has_its_keys_and_values(face, one, name):
    jobs = face.connect(*one.addresses).dict(name)
    with jobs.watch() as changes:
        assert changes.through is None
        revision = jobs.put("a", {"n": 1})
        jobs.delete("a")
        first, second = changes.next(60.0), changes.next(60.0)
        assert (first.what, first.key, first.value, first.revision) == ("put", "a", {"n": 1}, revision)
        assert changes.through == second.revision
    assert (second.what, second.key, second.cause) == ("ended", "a", "removed")
    with jobs.watch(after=revision) as later:
        assert later.next(60.0) == second


def test_a_set_is_a_mutable_set(client, name):
    gpus = client.set(name)
    assert isinstance(gpus, MutableSet) and len(gpus) == 0
    gpus.add("n1:0")
    gpus |= {"n1:1", "n2:0"}
    assert gpus.update(["n1:0", "n3:0"]) == 1
    assert sorted(gpus) == ["n1:0", "n1:1", "n2:0", "n3:0"] and "n1:0" in gpus and object() not in {*gpus}
    assert gpus & {"n1:0", "x"} == {"n1:0"} and gpus - {"n1:0", "n1:1"} == {"n2:0", "n3:0"} and gpus >= {"n1:0"}
    gpus.discard("x")
    with pytest.raises(KeyError):
        gpus.remove("x")
    gpus.remove("n1:0")
    gpus -= {"n1:1"}
    assert gpus.pop() == "n2:0" and gpus == {"n3:0"}
    gpus.clear()
    with pytest.raises(KeyError):
        gpus.pop()


def test_a_list_is_a_mutable_sequence(client, name):
    models = client.list(name)
    assert isinstance(models, MutableSequence) and list(models) == []
    models.append("v1")
    models += ["v2", "v3"]
    models.insert(1, "v1.5")
    assert models[0] == "v1" and models[-1] == "v3" and models[1:3] == ["v1.5", "v2"] and len(models) == 4
    assert models.index("v2") == 2 and models.count("v2") == 1 and "v9" not in models
    models[0] = "v0"
    models[1:3] = ["x"]
    assert list(models) == ["v0", "x", "v3"]
    for outside in (lambda: models[9], lambda: models.pop(9), lambda: models.replace(-9, "x")):
        with pytest.raises(IndexError):
            outside()
    for missing in (lambda: models.index("v9"), lambda: models.remove("v9")):
        with pytest.raises(ValueError, match="v9"):
            missing()
    models.remove("x")
    models.reverse()
    assert list(models) == ["v3", "v0"] and models.pop() == "v0" and models.pop(0) == "v3"
    models.extend([3, 1, 2])
    models.sort(reverse=True)
    del models[0]
    assert list(reversed(models)) == [1, 2]
    models.clear()
    assert len(models) == 0


def test_queues_are_like_pythons(face, one, name):
    moot = face.connect(*one.addresses)
    jobs = moot.queue(name, bound=2)
    assert jobs.empty() and not jobs.full()
    with pytest.raises(queue.Empty):
        jobs.get_nowait()
    with pytest.raises(queue.Empty):
        jobs.get(timeout=0.05)
    jobs.put({"n": 1})
    jobs.put({"n": 2})
    assert jobs.full() and jobs.qsize() == 2 and jobs.info().next == {"n": 1}
    with pytest.raises(queue.Full):
        jobs.put({"n": 3})
    assert jobs.get(block=False) == {"n": 1} and jobs.get(timeout=60.0) == {"n": 2}
    urgent = moot.priority_queue(name)
    urgent.put("later", 10)
    urgent.put("soon", priority=-1)
    assert urgent.get() == "soon" and urgent.get() == "later"


def test_the_asyncio_face_has_the_names_of_python(one, name):
    async def main():
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as moot:
            jobs = moot.dict(name)
            await jobs.update({"a": 1, "b": 2})
            assert await jobs.get("a") == 1 and await jobs.get("z") is None and await jobs.get("z", 7) == 7
            assert await jobs.keys() == ["a", "b"] and await jobs.values() == [1, 2]
            assert await jobs.items() == [("a", 1), ("b", 2)] and await jobs.length() == 2
            assert await jobs.contains("a") and not await jobs.contains("z")
            assert await jobs.setdefault("a", 9) == 1 and await jobs.pop("a") == 1 and await jobs.pop("a", 5) == 5
            with pytest.raises(KeyError):
                await jobs.pop("a")
            gpus = moot.set(name)
            await gpus.add("x")
            with pytest.raises(KeyError):
                await gpus.remove("y")
            models = moot.list(name)
            await models.extend(["a", "b"])
            assert await models.pop() == "b" and await models.get(5) is None

    asyncio.run(main())


def test_of_many_who_take_one_gets_it(one, name):
    async def main():
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as moot:
            jobs = moot.dict(name)
            await jobs.put("a", 1)
            taken = await asyncio.gather(*(jobs.pop("a", None) for _ in range(20)))
            assert sorted(taken, key=str) == [1] + [None] * 19

    asyncio.run(main())


def test_values_go_through_the_codec_of_handle_or_client(client, one, name):
    client.dict(name, folkmoot.Pickle)["a"] = {1, (2, 3)}
    assert client.dict(name, folkmoot.Pickle)["a"] == {1, (2, 3)}
    with one.connect(**PATIENT, codec=folkmoot.Bytes) as raw:
        raw.dict(name)["b"] = b"\x00"
        assert raw.kv.get(f"{name}/b").value == b"\x00"
        raw.kv.put(f"{name}/c", "plain text")
    with pytest.raises(json.JSONDecodeError):
        client.dict(name)["c"]
