"""Our columns on videos and ar_contents; the platform's own tables where they are missing, as in a trial."""

import sqlalchemy as sa
from alembic import op

from schemas.tables import THUMBNAIL_COLUMN_NAMES, ar_contents, metadata, videos

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make missing tables whole, and add to existing ones only what is ours."""
    connection = op.get_bind()
    before = sa.inspect(connection).get_table_names()
    metadata.create_all(connection, checkfirst=True)
    for table in (ar_contents, videos):
        if table.name not in before:
            continue
        present = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
        for name in THUMBNAIL_COLUMN_NAMES:
            if name not in present:
                # A copy: a column belongs to one table object.
                op.add_column(table.name, sa.Column(name, table.c[name].type))


def downgrade() -> None:
    """Drop our columns. thumbnail_url stays: the platform may have had it before us."""
    connection = op.get_bind()
    for table in (videos, ar_contents):
        present = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
        for name in THUMBNAIL_COLUMN_NAMES:
            if name in present and name != "thumbnail_url":
                op.drop_column(table.name, name)
