"""Real stores on loopback: OpenBao, and the AWS endpoint that moto serves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hvac
import pytest
import urllib3

from tests.controlplane.process import Process, free_port

ROOT_TOKEN = "root-for-tests"
READY_S = 60.0


class Bao(NamedTuple):
    """A server in development mode, with a client that may everything."""

    url: str
    client: hvac.Client


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=1.0, retries=False).status < 500
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture(scope="package")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    folder = tmp_path_factory.mktemp("bao")
    address = f"127.0.0.1:{free_port()}"
    command = [Path(sys.executable).with_name("bao"), "server", "-dev", f"-dev-root-token-id={ROOT_TOKEN}"]
    process = Process("bao", [*command, f"-dev-listen-address={address}", "-dev-no-store-token"], folder)
    process.start()
    try:
        process.wait_until(lambda: _answers(f"http://{address}/v1/sys/health"), READY_S)
        yield Bao(f"http://{address}", hvac.Client(url=f"http://{address}", token=ROOT_TOKEN))
    finally:
        process.stop()


@pytest.fixture(scope="package")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint's URL."""
    folder = tmp_path_factory.mktemp("moto")
    port = free_port()
    command = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    process = Process("moto", command, folder)
    process.start()
    try:
        process.wait_until(lambda: _answers(f"http://127.0.0.1:{port}/moto-api/"), READY_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()
