"""The operator on a real API server. Fixtures of a package are for that package only in its conftest."""

from __future__ import annotations

from tests.operator.conftest import operated, specs, start

__all__ = ["operated", "specs", "start"]
