"""What all tests share: `pytester`, and a real control plane (started when a test asks for it)."""

pytest_plugins = ["pytester", "tests.controlplane.fixtures"]
