"""The package as such: both faces are the same, its exceptions cover every fault, its objects survive pickling."""

import copy
import inspect
import io
import pickle
import re
import subprocess
import sys

import folkmoot
import folkmoot.aio
import pytest
from conftest import ROOT
from folkmoot import _folkmoot, exceptions


def test_the_blocking_face_is_made_from_the_asyncio_one():
    subprocess.run([sys.executable, ROOT / "scripts/python-faces", "--check"], check=True)


def test_both_faces_have_the_same_names():
    for name in folkmoot.aio.__all__:
        assert name in folkmoot.__all__, name
    blocking, asyncio = public(folkmoot.Client), public(folkmoot.aio.Client)
    assert blocking == asyncio


@pytest.mark.parametrize("name", [n for n in folkmoot.aio.__all__ if n[0].isupper()])
def test_each_class_has_the_same_calls_with_the_same_arguments(name):
    blocking, asyncio = getattr(folkmoot, name), getattr(folkmoot.aio, name)
    for call in public(asyncio) & public(blocking):
        one, other = getattr(blocking, call), getattr(asyncio, call)
        if callable(one) and name not in ("Dict", "Set", "List"):
            assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters), call
    if name not in ("Dict", "Set", "List"):
        assert public(asyncio) == public(blocking)


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_public_class_and_call_says_what_it_is():
    for name in folkmoot.aio.__all__ + folkmoot.__all__:
        for face in (folkmoot, folkmoot.aio):
            thing = getattr(face, name, None)
            if inspect.isclass(thing) and thing.__module__.startswith("folkmoot"):
                assert thing.__doc__, name
                for call in public(thing):
                    attribute = inspect.getattr_static(thing, call)
                    if inspect.isfunction(attribute) and attribute.__module__.startswith("folkmoot"):
                        assert attribute.__doc__ or call in ("encode", "decode"), f"{name}.{call}"


def words_of(path, pattern):
    return set(re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE))


def test_every_reason_of_a_refusal_has_a_class():
    codes = words_of("proto/src/coordination/code.rs", r'^        [A-Z]\w+ = "([a-z-]+)",$')
    assert len(codes) > 30
    assert codes <= exceptions.CLASSES.keys()


def test_every_word_of_the_extension_has_a_class():
    assert len(_folkmoot.WORDS) > 10
    assert set(_folkmoot.WORDS) <= exceptions.CLASSES.keys()


@pytest.mark.parametrize("kind", sorted(set(exceptions.CLASSES.values()), key=lambda kind: kind.__name__))
def test_an_exception_is_public_says_whether_something_was_done_and_can_be_pickled(kind):
    assert getattr(folkmoot, kind.__name__) is kind
    assert kind.__name__ in folkmoot.__all__
    assert kind.outcome in ("nothing done", "unknown")
    made = kind("text: of it", "word", "command", ({"k": 1}, {"n1": "no"}, 3, 2, 1))
    for again in (pickle.loads(pickle.dumps(made)), copy.copy(made)):
        assert type(again) is kind
        assert (str(again), again.code, again.command) == ("text: of it", "word", "command")
    assert repr(made).startswith(kind.__name__)


def test_exceptions_are_pythons_own_too():
    assert issubclass(folkmoot.Timeout, TimeoutError)
    assert issubclass(folkmoot.Busy, TimeoutError)
    assert issubclass(folkmoot.ConnectError, ConnectionError)
    assert issubclass(folkmoot.OutOfRange, IndexError)
    error = folkmoot.KeyringError("1/3 failed", "keys", "list-keys", ({"k": 1}, {"n1": "no"}, 3, 2, 1))
    assert error.answer == folkmoot.KeyAnswer({"k": 1}, {"n1": "no"}, 3, 2, 1)


def test_results_are_tuples_with_names():
    gap = folkmoot.Gap("gap", True, 3)
    assert repr(gap) == "Gap(event='gap', reconnected=True, dropped=3)"
    assert pickle.loads(pickle.dumps(gap)) == gap


def test_distances_are_those_of_vivaldi():
    here = folkmoot.Coordinate([0.0, 0.3], 0.1, 0.0, 0.01)
    there = folkmoot.Coordinate([0.4, 0.0], 0.1, -0.02, 0.03)
    assert here.distance(there) == pytest.approx(0.52)
    negative = there._replace(adjustment=-10.0)
    assert here.distance(negative) == pytest.approx(0.54)


@pytest.mark.parametrize(
    ("codec", "value", "data"),
    [
        (folkmoot.JSON, {"b": [1, None], "a": "ä"}, '{"a":"ä","b":[1,null]}'.encode()),
        (folkmoot.Text, "ä", "ä".encode()),
        (folkmoot.Bytes, b"\x00\xff", b"\x00\xff"),
    ],
)
def test_codecs_go_there_and_back(codec, value, data):
    assert codec.encode(value) == data
    assert codec.decode(data) == value


def test_pickle_takes_any_object():
    assert folkmoot.Pickle.decode(folkmoot.Pickle.encode({1, (2, 3)})) == {1, (2, 3)}


def test_importing_it_starts_nothing():
    script = "import threading, folkmoot, folkmoot.aio; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"


def test_a_backup_of_a_file_without_a_buffer_is_whole_and_a_failed_one_leaves_no_part(face, one, tmp_path):
    class Unbuffered(io.BytesIO):
        def write(self, piece):
            return super().write(piece[:1000])

    moot = face.connect(*one.addresses)
    moot.kv.put("backup/large", b"x" * 100_000)
    whole, unbuffered = tmp_path / "whole", Unbuffered()
    assert moot.group.backup(whole) == whole.stat().st_size > 100_000
    assert moot.group.backup(unbuffered) == len(unbuffered.getvalue())
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError):
        moot.group.backup(tmp_path / "directory")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["directory", "whole"]


def test_nobody_leads_where_no_node_runs(agents):
    cluster = agents()
    assert cluster.leader() is cluster.nodes[0]
    cluster.nodes[0].kill()
    with pytest.raises(RuntimeError, match="no node runs"):
        cluster.leader()


def test_it_runs_as_the_program():
    done = subprocess.run([sys.executable, "-m", "folkmoot", "version"], check=True, capture_output=True, text=True)
    assert folkmoot.__version__ in done.stdout
    failed = subprocess.run([sys.executable, "-m", "folkmoot", "no-such-command"], capture_output=True, check=False)
    assert failed.returncode == 127
