"""What alembic runs: the revisions, in the transaction that `storage.migrate` holds with its lock."""

from __future__ import annotations

from alembic import context

from pytest_kspec.storage.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
