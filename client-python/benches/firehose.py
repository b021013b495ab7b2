"""An agent that does nothing but send user events, as fast as its one reader says it is ready for more.

Run as `python firehose.py COUNT`: prints its address, takes one client, and sends COUNT events in bursts, one for each line of
its standard input. Its records are packed once, so that what is measured is the reader.
"""

import socket
import sys
from typing import Any, Dict

import msgpack

#: Records of a burst. Two bursts under way are fewer than the 512 that agents and clients keep for a slow reader.
BURST = 128


def pack(*objects: Dict[str, Any]) -> bytes:
    return b"".join(msgpack.packb(item) for item in objects)


def main() -> None:
    count = int(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0))
    print("127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    requests = msgpack.Unpacker()
    streaming = None
    while streaming is None:
        requests.feed(client.recv(65536))
        for header in requests:
            if header["Command"] == "handshake":
                next(requests)
            elif header["Command"] == "stream":
                next(requests)
                streaming = header["Seq"]
            client.sendall(pack({"Seq": header["Seq"], "Error": ""}))
    event = {"Event": "user", "LTime": 1, "Name": "deploy", "Payload": b"x" * 64, "Coalesce": False}
    burst = pack({"Seq": streaming, "Error": ""}, event) * BURST
    for _ in range(count // BURST):
        if not sys.stdin.readline():
            break
        client.sendall(burst)
    sys.stdin.read()


if __name__ == "__main__":
    main()
