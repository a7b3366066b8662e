"""An origin that never answers but for `/large`, of which it sends 4 MB: `patient_origin.py`.

Prints its port. A process of its own, because it has a file for each connection.
"""

import asyncio

_LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/large" in head:
            writer.write(_LARGE)
            for _ in range(64):
                writer.write(b"x" * 65_536)
                await writer.drain()
        while await reader.read(65_536):
            pass
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serves until it is ended."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
