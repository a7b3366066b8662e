"""A TCP service: tcp.py ADDRESS PORT [GREETING]. It greets first, if it is told to; then it gives
back what it gets, and says goodbye when the client has said all.
"""  # fmt: skip

import asyncio
import sys


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        writer.write("".join(sys.argv[3:]).encode())
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.write(b"goodbye")
        await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main() -> None:
    async with await asyncio.start_server(echo, sys.argv[1], int(sys.argv[2])) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
