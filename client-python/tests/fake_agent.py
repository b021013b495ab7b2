"""An agent that misbehaves: it answers the handshake, and then does what the test says."""

import contextlib
import socket
import threading

import msgpack


class FakeAgent:
    """Listens on a free port of 127.0.0.1; gives each connection to `behave(connection, requests)` in a thread.

    `requests` yields the requests after the handshake, as (command, number of the request, body); bodies only of commands
    that have one. What `behave` raises is `self.failure`.
    """

    BODIES = {"handshake", "auth", "event", "stream", "monitor", "query", "respond", "stop", "tags", "join"}

    def __init__(self, behave):
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self.connections = 0
        self.failure = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                requests = self._requests(connection)
                command, number, _ = next(requests)
                assert command == "handshake", command
                connection.sendall(answer(number))
                self._behave(connection, requests)
            except (OSError, StopIteration):
                pass
            except Exception as failure:
                self.failure = failure

    def _requests(self, connection):
        unpacker = msgpack.Unpacker(raw=False)
        objects = self._objects(connection, unpacker)
        while True:
            header = next(objects, None)
            if header is None:
                return
            command = header["Command"]
            yield command, header["Seq"], next(objects, None) if command in self.BODIES else None

    @staticmethod
    def _objects(connection, unpacker):
        while True:
            data = connection.recv(65536)
            if not data:
                return
            unpacker.feed(data)
            yield from unpacker


def answer(number, body=None, error=""):
    """Bytes of an answer."""
    header = msgpack.packb({"Error": error, "Seq": number})
    return header if body is None else header + msgpack.packb(body)


MEMBERS = {"Members": []}
