"""Methods whose calls are carried out everywhere, and the objects that have them."""

# Untyped by nature: what is in answers, pickles and arguments of programs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The modules of this package share what no program is to use.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from . import calltime
from .config import FAIL_REASON
from .errors import SyncObjException

if TYPE_CHECKING:
    from .syncobj import SyncObj


class Applying(threading.local):
    """Whose calls this thread applies at this moment."""

    owner: Optional[SyncObj] = None


applying = Applying()


class SyncObjConsumer:
    """An object with replicated methods that belongs to a `SyncObj`: one of its attributes, assigned in the constructor, or
    one of its `consumers`. All attributes are its state."""

    _syncObj: Optional[SyncObj] = None

    def _destroy(self) -> None:
        self._syncObj = None

    def _serialize(self) -> Dict[str, Any]:
        """The state, for a snapshot."""
        return {name: value for name, value in self.__dict__.items() if name != "_syncObj"}

    def _deserialize(self, data: Dict[str, Any]) -> None:
        """Takes the state of a snapshot."""
        self.__dict__.update(data)


class Waiting:
    """A call whose caller waits for it."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: int = FAIL_REASON.SUCCESS
        self.event = threading.Event()

    def done(self, result: Any, error: int) -> None:
        """The callback of the call."""
        self.result, self.error = result, error
        self.event.set()

    def outcome(self) -> Any:
        """The result, or what the call failed with."""
        if self.error == FAIL_REASON.SUCCESS:
            return self.result
        if isinstance(self.result, Exception):
            raise self.result
        raise SyncObjException(self.error)


def replicated(*function: Callable[..., Any], **options: Any) -> Any:
    """Marks a method that changes state: calls of it are carried out on every node, in the same order everywhere.

    The call returns None at once. `callback=` is called with its result and a `FAIL_REASON`; `sync=True` waits and returns
    the result, at most `timeout=` seconds, after which it raises `SyncObjException('Timeout')` though the call may still be
    carried out. What the method raises is raised by a call with `sync=True`, and is the result of a callback that is told
    REQUEST_DENIED.

    Inside a replicated method, calls of replicated methods are plain calls, and `time.time()` is the time of the call that
    is carried out. `@replicated(ver=1)` is the method from that code version on, see `SyncObj.setCodeVersion`.
    """
    return _decorate(function, options, {})


def replicated_sync(*function: Callable[..., Any], **options: Any) -> Any:
    """As `replicated`, with `sync=True` unless the call says otherwise; `@replicated_sync(timeout=5)` sets a time limit."""
    defaults = {"sync": True, "timeout": options.pop("timeout", None)}
    return _decorate(function, options, defaults)


def _decorate(function: Any, options: Dict[str, Any], defaults: Dict[str, Any]) -> Any:
    unknown = set(options) - {"ver"}
    if unknown:
        raise TypeError("unknown options: %s" % ", ".join(sorted(unknown)))
    # Methods of one name in one class are versions of each other.
    namespace = sys._getframe(2).f_locals
    version = int(options.get("ver", 0))
    if len(function) == 1 and callable(function[0]):
        return _replicated(function[0], version, defaults, namespace)

    def decorate(method: Callable[..., Any]) -> Any:
        return _replicated(method, version, defaults, namespace)

    return decorate


def _replicated(method: Callable[..., Any], version: int, defaults: Dict[str, Any], namespace: Any) -> Any:
    calltime.cover(getattr(method, "__globals__", {}))
    name = method.__name__
    versions: Dict[int, Callable[..., Any]] = dict(getattr(namespace.get(name), "versions", {}))
    versions[version] = method

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.pop("_doApply", False):
            return method(self, *args, **kwargs)
        callback = kwargs.pop("callback", defaults.get("callback"))
        sync = kwargs.pop("sync", defaults.get("sync", False))
        timeout = kwargs.pop("timeout", defaults.get("timeout"))
        owner = _owner(self, name)
        if applying.owner is not None:
            return _nested(owner, versions, self, args, kwargs, callback)
        if callback is not None or not sync:
            owner._submit(self, name, args, kwargs, callback)
            return None
        waiting = Waiting()
        owner._submit(self, name, args, kwargs, waiting.done)
        if not owner._wait(waiting.event, timeout):
            raise SyncObjException("Timeout")
        return waiting.outcome()

    call.__dict__.update(replicated=True, versions=versions, origName=name, ver=version)
    return call


def _owner(target: Any, name: str) -> SyncObj:
    owner = target if not isinstance(target, SyncObjConsumer) else target._syncObj
    if owner is None or not hasattr(owner, "_submit"):
        raise SyncObjException(
            "%s.%s: belongs to no SyncObj; assign it to an attribute in the constructor, or name it in consumers="
            % (type(target).__name__, name)
        )
    result: SyncObj = owner
    return result


def _nested(owner: SyncObj, versions: Any, target: Any, args: Any, kwargs: Any, callback: Any) -> Any:
    """A replicated call inside one that is carried out: a plain call, as every node makes it itself."""
    if owner is not applying.owner:
        raise SyncObjException("a replicated method of one SyncObj called by that of another")
    result = choose(versions, owner.getCodeVersion())(target, *args, **kwargs)
    if callback is not None:
        callback(result, FAIL_REASON.SUCCESS)
    return result


def choose(versions: Dict[int, Callable[..., Any]], enabled: int) -> Callable[..., Any]:
    """The method of the highest version that is enabled."""
    known = [version for version in versions if version <= enabled]
    if not known:
        raise SyncObjException("a method of code version %d, and %d is enabled" % (min(versions), enabled))
    return versions[max(known)]
