"""What all tests share: `pytester`, a real control plane and real registries (started when a test asks for them)."""

pytest_plugins = ["pytester", "tests.controlplane.fixtures", "tests.registry.fixtures"]
