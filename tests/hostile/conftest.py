"""A cluster whose API server answers as a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from tests.cluster.api import Api, kubeconfig

MIB = 1 << 20
SMALL = Limits(
    connect_timeout_s=1.0,
    read_timeout_s=0.4,
    retries=1,
    backoff_s=0.01,
    retry_after_max_s=0.1,
    list_pages=20,
    request_s=0.6,
    list_s=1.2,
    cluster_s=30.0,
    request_bytes=2 * MIB,
    list_bytes=4 * MIB,
    cluster_bytes=8 * MIB,
)
"""Bounds that a test reaches soon."""

Start = Callable[..., tuple[LiveSource, Api]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(answers: dict[str, Any], limits: Limits = SMALL, **options: Any) -> tuple[LiveSource, Api]:
            api = stack.enter_context(Api(answers))
            source = LiveSource("prod", kubeconfig=kubeconfig(tmp_path, api.url, **options), limits=limits)
            stack.callback(source.close)
            return source, api

        yield run
