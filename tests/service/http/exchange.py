"""HTTP as bytes over a socket: what is sent, and what came back until the connection ended."""

import json
import socket

BODY = b'{"productName": "none"}'


def connect(service):
    """A connection to a service."""
    return socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), 30)


def read_all(peer):
    """All that comes until the service ends the connection."""
    said = b""
    while True:
        try:
            more = peer.recv(65536)
        except ConnectionResetError:
            more = b""
        if not more:
            return said
        said += more


def exchange(service, *pieces, breaks_off=False):
    """All that comes back until the service ends the connection, as `pieces` make it do."""
    with connect(service) as peer:
        try:
            for piece in pieces:
                peer.sendall(piece)
            if breaks_off:
                peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has heard enough
        return read_all(peer)


def answers(said):
    """The statuses and bodies of what an exchange gave back."""
    found = []
    while said:
        head, _, rest = said.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        length = int(headers[b"content-length"])
        found.append((int(lines[0].split()[1]), json.loads(rest[:length])))
        said = rest[length:]
    return found


def post(*headers, body=BODY, path=b"/api/appid/acquire", close=True):
    head = [
        b"POST " + path + b" HTTP/1.1",
        b"Host: localhost",
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    if close:
        head.append(b"Connection: close")
    return b"\r\n".join([*head, b"", body])


def get(*headers, target=b"/health"):
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: localhost", *headers, b"", b""])
