"""A port on our loopback that leads to the same port on the loopback of a network namespace.

The listening socket is made outside, and taken along into the namespace, where the connections begin. Runs with
`python -I -S`. Arguments: process whose network it is, port; then also the descriptor of the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys

PIECE = 1 << 16


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side ends."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


async def serve(listening: socket.socket, port: int) -> None:
    """Each connection is one of ours, and one inside."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
        inner_writer.close()
        writer.close()

    server = await asyncio.start_server(connected, sock=listening)
    await server.serve_forever()


def main() -> None:
    """Outside: listen, and go in. Inside: serve."""
    process, port, *inherited = sys.argv[1:]
    if inherited:
        asyncio.run(serve(socket.socket(fileno=int(inherited[0])), int(port)))
        return
    listening = socket.create_server(("127.0.0.1", int(port)))
    listening.set_inheritable(True)
    words = [sys.executable, "-I", "-S", __file__, process, port, str(listening.fileno())]
    os.execvp("nsenter", ["nsenter", f"--net=/proc/{process}/ns/net", *words])


if __name__ == "__main__":
    main()
