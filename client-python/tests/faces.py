"""Both faces behind the interface of the blocking one. Where Python has a protocol (dictionaries and the like) they differ on
purpose: those tests name their face."""

import asyncio
import inspect

import folkmoot
import folkmoot.aio

#: HashiCorp's agent, from Debian's package `serf`.
GO = "serf"

#: How clients of tests are patient: a loaded machine may stall for many seconds.
PATIENT = {"timeout": 60.0, "client_ttl": 90.0}


class Blocking:
    """The blocking face as it is."""

    name = "blocking"
    package = folkmoot

    def __init__(self):
        self._clients = []

    def connect(self, *addresses, **options):
        client = folkmoot.connect(*addresses, **{**PATIENT, **options})
        self._clients.append(client)
        return client

    def close(self):
        for client in self._clients:
            client.close()


class Asyncio:
    """The asyncio face, with a loop that runs while something is awaited."""

    name = "asyncio"
    package = folkmoot.aio

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._clients = []

    def connect(self, *addresses, **options):
        client = self.blocking(folkmoot.aio.connect(*addresses, **{**PATIENT, **options}))
        self._clients.append(client)
        return client

    def close(self):
        for client in self._clients:
            client.close()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def blocking(self, value):
        """A value, or what comes of awaiting it, with everything of the face behind it blocking too."""
        if inspect.isawaitable(value):
            value = self._loop.run_until_complete(value)
        if isinstance(value, list):
            return [self.blocking(each) for each in value]
        if type(value).__module__.startswith("folkmoot.aio"):
            return _Awaited(self, value)
        return value


class _Awaited:
    """An object of the asyncio face whose methods wait."""

    def __init__(self, face, wrapped):
        self._face = face
        self._wrapped = wrapped

    def __getattr__(self, name):
        value = getattr(self._wrapped, name)
        if not callable(value):
            return self._face.blocking(value)

        def call(*arguments, **named):
            bare = [argument._wrapped if isinstance(argument, _Awaited) else argument for argument in arguments]
            named = {key: each._wrapped if isinstance(each, _Awaited) else each for key, each in named.items()}
            return self._face.blocking(value(*bare, **named))

        return call

    def __enter__(self):
        return self._face.blocking(self._wrapped.__aenter__())

    def __exit__(self, *error):
        return self._face.blocking(self._wrapped.__aexit__(*error))

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self._face.blocking(self._wrapped.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def __repr__(self):
        return repr(self._wrapped)


FACES = {face.name: face for face in (Blocking, Asyncio)}
