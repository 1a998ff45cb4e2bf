"""The webhook as a process: reviews a second, latency at a fixed rate, growth of memory.

python -m benchmarks.webhook    TLS, keep-alive, pods of 3 KB, the strict specification

Throughput is measured with `wrk` (apt-get install wrk), latency at 2,000 reviews a second with an open-loop
generator below: each review is due at its time whether or not the ones before were answered, and its latency
counts from then. Load and server share the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import uvloop
import yaml

from benchmarks.pods import reviews

SPEC = Path(__file__).with_name("strict.yaml")
LUA = Path(__file__).with_name("webhook.lua")
TEMPLATES, PODS = 100, 1000
RATE, RATE_S = 2000, 10
THROUGHPUT_S = 10
MEMORY_REVIEWS = 100_000
CONNECTIONS = 16
HEAD = b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Server(NamedTuple):
    """A running webhook."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def memory_mb(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def webhook(folder: Path) -> Iterator[Server]:
    """Start it on loopback with a certificate of its own."""
    spec = yaml.safe_load(SPEC.read_text())
    spec["spec"]["enforcement"] = {"enabled": True, "mode": "enforce"}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    port = 19443
    command = [
        sys.executable, "-m", "pytest_kspec.cli.main", "webhook", str(folder / "spec.yaml"),
        "--self-signed", str(folder / "tls"), "--hostname", "127.0.0.1", "--cluster", "none",
        "--host", "127.0.0.1", "--port", str(port), "--drain", "0", "--audit-log", str(folder / "audit.log"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=(folder / "log").open("wb"))
    try:
        for _ in range(200):
            time.sleep(0.1)
            with contextlib.suppress(OSError):
                context = ssl._create_unverified_context()
                if urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", context=context).status == 200:
                    break
        else:
            sys.exit((folder / "log").read_text())
        yield Server(port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def throughput(server: Server, bodies: Path, seconds: int) -> tuple[float, str]:
    """Reviews a second that wrk gets, and its 99 % line."""
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is missing: apt-get install wrk")
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(LUA),
               f"https://127.0.0.1:{server.port}/validate", str(bodies)]  # fmt: skip
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    tail = re.search(r"99%\s+(\S+)", said)
    assert rate is not None
    assert tail is not None
    return float(rate[1]), tail[1]


async def latency(server: Server, bodies: list[bytes], ca: Path) -> list[float]:
    """Milliseconds of each review at a fixed rate, sorted; from when it was due."""
    context = ssl.create_default_context(cafile=str(ca))
    connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        connections.put_nowait(await asyncio.open_connection("127.0.0.1", server.port, ssl=context))
    taken: list[float] = []
    loop = asyncio.get_running_loop()

    async def one(body: bytes, due: float) -> None:
        reader, writer = await connections.get()
        writer.write(HEAD % len(body) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer)
        assert answer.startswith(b"HTTP/1.1 200")
        assert length is not None
        await reader.readexactly(int(length[1]))
        taken.append((time.perf_counter() - due) * 1000)
        connections.put_nowait((reader, writer))

    start = time.perf_counter() + 0.2
    tasks = []
    for number in range(RATE * RATE_S):
        due = start + number / RATE
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(loop.create_task(one(bodies[number % len(bodies)], due)))
    await asyncio.gather(*tasks)
    return sorted(taken)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies = reviews(TEMPLATES, PODS)
        path = folder / "bodies"
        path.write_bytes(b"\n".join(bodies))
        size = sum(map(len, bodies)) / len(bodies)
        denied = 0
        with webhook(folder) as server:
            context = ssl._create_unverified_context()
            for body in bodies:
                request = urllib.request.Request(
                    f"https://127.0.0.1:{server.port}/validate", body, {"Content-Type": "application/json"}
                )
                denied += not json.load(urllib.request.urlopen(request, context=context))["response"][
                    "allowed"
                ]
            print(
                f"{PODS} pods of {TEMPLATES} templates, {size:,.0f} bytes a review, {denied / PODS:.0%} denied"
            )
            throughput(server, path, 3)
            cpu, wall = server.cpu_s, time.monotonic()
            rate, tail = throughput(server, path, THROUGHPUT_S)
            cpu, wall = server.cpu_s - cpu, time.monotonic() - wall
            print(f"{rate:8,.0f} reviews/s, p99 {tail}, {cpu / wall:.0%} of a core   goal: 5,000")
            taken = uvloop.run(latency(server, bodies, folder / "tls" / "ca.crt"))
            p50, p99, worst = (taken[int(len(taken) * q)] for q in (0.5, 0.99, 0.99999))
            print(f"at {RATE:,}/s: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {worst:.2f} ms   goal: p99 10 ms")
            before = server.memory_mb
            count, rounds = 0.0, 0
            while count < MEMORY_REVIEWS:
                rate, _ = throughput(server, path, 5)
                count += rate * 5
                rounds += 1
            print(f"{count:,.0f} reviews more: {before:.1f} MB, then {server.memory_mb:.1f} MB")


if __name__ == "__main__":
    main()
