"""A WebSocket server that says what it is told: chat.py ADDRESS PORT."""

import sys
from http import HTTPStatus

from websockets.sync.server import serve


def refuse(connection, request):
    """Answers without changing the protocol, at one path."""
    if request.path == "/refused":
        return connection.respond(HTTPStatus.IM_A_TEAPOT, "no chat\n")
    return None


def talk(connection):
    if connection.request.path == "/early":
        for number in range(3):
            connection.send(f"early {number}")
    for message in connection:
        if isinstance(message, str) and message.startswith("close "):
            connection.close(int(message.removeprefix("close ")), "as you wish")
            return
        connection.send(message)


if __name__ == "__main__":
    with serve(talk, sys.argv[1], int(sys.argv[2]), process_request=refuse) as server:
        server.serve_forever()
