"""Alembic's entry: it runs on the connection, and in the transaction, that schemas.migrations hands over."""

from alembic import context

from schemas.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction is the one
    version_table="thumbnail_alembic_version",
)
context.run_migrations()
