"""An HTTP/1.1 application: application.py ADDRESS PORT NAME. It knows of no mesh.

What it does depends on the first segment of the path; else it says what it was asked, as JSON.
"""

import asyncio
import hashlib
import json
import sys
from dataclasses import dataclass, field

NAME = sys.argv[3]
SEEN: set[str] = set()


@dataclass
class Asked:
    """A request, with its body."""

    method: str
    path: str
    version: str
    headers: dict[str, str]
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)

    def shown(self) -> bytes:
        return json.dumps(
            {
                "name": NAME,
                "method": self.method,
                "path": self.path,
                "version": self.version,
                "headers": self.headers,
                "body_bytes": len(self.body),
                "body_sha256": hashlib.sha256(self.body).hexdigest(),
                "trailers": self.trailers,
            }
        ).encode()


async def read_fields(reader: asyncio.StreamReader) -> dict[str, str]:
    fields: dict[str, str] = {}
    while (line := (await reader.readline()).strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip()
    return fields


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked | None:
    line = await reader.readline()
    if not line:
        return None
    method, path, version = line.decode("latin-1").split()
    asked = Asked(method, path, version, await read_fields(reader))
    if asked.headers.get("expect") == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if asked.headers.get("transfer-encoding") == "chunked":
        parts: list[bytes] = []
        while size := int((await reader.readline()).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        asked.body = b"".join(parts)
        asked.trailers = await read_fields(reader)
    else:
        asked.body = await reader.readexactly(int(asked.headers.get("content-length", 0)))
    return asked


def head(status: int, *fields: tuple[str, object]) -> bytes:
    lines = [f"HTTP/1.1 {status} Reason", f"x-application: {NAME}"]
    return "\r\n".join([*lines, *(f"{n}: {v}" for n, v in fields), "", ""]).encode("latin-1")


def plain(asked: Asked, status: int, body: bytes) -> bytes:
    kind = ("content-type", "application/json" if body.startswith(b"{") else "text/plain")
    whole = head(status, ("content-length", len(body)), kind)
    return whole if asked.method == "HEAD" else whole + body


async def answer(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """Answers; returns whether the connection goes on."""
    first, _, rest = asked.path.partition("?")[0][1:].partition("/")
    match first:
        case "status":
            writer.write(plain(asked, int(rest), f"{rest}\n".encode()))
        case "bytes":
            writer.write(plain(asked, 200, b"m" * int(rest)))
        case "slow":
            await asyncio.sleep(int(rest) / 1000)
            writer.write(plain(asked, 200, asked.shown()))
        case "chunks":
            writer.write(head(200, ("transfer-encoding", "chunked"), ("trailer", "x-sum")))
            writer.write(b"3\r\nabc\r\n4\r\ndefg\r\n0\r\nx-sum: 7\r\n\r\n")
        case "flaky":
            is_first = asked.headers.get("x-request-id", "") not in SEEN
            SEEN.add(asked.headers.get("x-request-id", ""))
            writer.write(plain(asked, 503 if is_first else 200, asked.shown()))
        case "drop":
            return False
        case "last":
            body = asked.shown()
            writer.write(head(200, ("content-length", len(body)), ("connection", "close")) + body)
            return False
        case _:
            writer.write(plain(asked, 200, asked.shown()))
    return asked.headers.get("connection") != "close"


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while asked := await read_request(reader, writer):
            goes_on = await answer(asked, writer)
            await writer.drain()
            if not goes_on:
                break
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(converse, sys.argv[1], int(sys.argv[2]), backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
