"""A port of one network that leads to the same port on the loopback of another.

The listening socket is made in the network where this is started, and taken along into the other, where the connections
begin. Runs with `python -I -S`. Arguments: address to listen at, port, process in whose network the connections begin;
then also the descriptor of the socket.
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
    """Each connection is one on either side."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        far_writer.close()
        writer.close()

    server = await asyncio.start_server(connected, sock=listening)
    await server.serve_forever()


def main() -> None:
    """Listen, and go where the connections begin; there: serve."""
    address, port, process, *inherited = sys.argv[1:]
    if inherited:
        asyncio.run(serve(socket.socket(fileno=int(inherited[0])), int(port)))
        return
    listening = socket.create_server((address, int(port)))
    listening.set_inheritable(True)
    words = [sys.executable, "-I", "-S", __file__, address, port, process, str(listening.fileno())]
    os.execvp("nsenter", ["nsenter", f"--net=/proc/{process}/ns/net", *words])


if __name__ == "__main__":
    main()
