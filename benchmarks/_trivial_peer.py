"""The smallest server that grants an AppID and takes it back: every answer has the same bytes."""

from __future__ import annotations

import socket
import sys
import threading

# Each client reads the fields that it needs: an answer to an acquire and to a release.
_BODY = (
    b'{"appid":"a1","vid":1,"productName":"bench","starttime":1700000000000,'
    b'"success":true,"stoptime":1700000000001}'
)
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY


def main(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    data = b""
    while True:
        head, found, rest = data.partition(b"\r\n\r\n")
        if found and len(rest) >= _length(head):
            data = rest[_length(head) :]
            connection.sendall(_ANSWER)
            continue
        more = connection.recv(65536)
        if not more:
            return
        data += more


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
