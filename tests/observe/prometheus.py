"""A real Prometheus, bounded and ended by its owner."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import urllib3
import yaml

from tests.controlplane.process import Process, free_port

LIMIT_S = 150.0
Series = dict[str, Any]


class Prometheus:
    """Scrapes each job every second. rules: files of rules."""

    def __init__(self, folder: Path, jobs: Sequence[dict[str, Any]], rules: Sequence[Path] = ()) -> None:
        found = shutil.which("prometheus")
        assert found, "Prometheus is not installed: apt-get install prometheus"
        document = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": list(jobs),
        }
        config = folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump(document), encoding="utf-8")
        self.port = free_port()
        command = [found, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        self._process = Process(
            "prometheus", [*command, f"--web.listen-address=127.0.0.1:{self.port}"], folder
        )
        self._process.start()

    def ask(self, path: str, **query: str) -> Any:
        """`data` of an answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        answer = urllib3.request("GET", url, timeout=20, retries=False)
        assert answer.status == 200, answer.data.decode()
        return json.loads(answer.data)["data"]

    def query(self, text: str) -> list[Series]:
        """An instant query."""
        return list(self.ask("query", query=text)["result"])

    def series(self) -> dict[str, set[str]]:
        """Labels of each of our metrics, of all that was scraped."""
        found: dict[str, set[str]] = {}
        for one in self.ask("series", **{"match[]": '{__name__=~"kspec[_:].*"}'}):
            name = re.sub(r"_(bucket|sum|count)$", "", one["__name__"])
            found.setdefault(name, set()).update(one)
        return found

    def wait(self, ready: Callable[[], Any]) -> Any:
        """What it gives once it is true; until then Prometheus may not even answer."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                if found := ready():
                    return found
            except (urllib3.exceptions.HTTPError, AssertionError):
                if time.monotonic() > deadline:
                    raise
            assert time.monotonic() < deadline, self._process.tail()
            time.sleep(0.3)

    def close(self) -> None:
        """End it."""
        self._process.stop()
