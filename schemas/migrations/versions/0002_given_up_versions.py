"""The column that remembers which versions of a failed upload were given up; null in the rows of 0.1."""

import sqlalchemy as sa
from alembic import op

from schemas.tables import ar_contents, videos

revision = "0002"
down_revision = "0001"

_NAME = "thumbnail_given_up"


def upgrade() -> None:
    """Add the column where 0001 has not made it already."""
    for table in (ar_contents, videos):
        if _NAME not in _columns_of(table):
            op.add_column(table.name, sa.Column(_NAME, table.c[_NAME].type))


def downgrade() -> None:
    """Drop the column."""
    for table in (videos, ar_contents):
        if _NAME in _columns_of(table):
            op.drop_column(table.name, _NAME)


def _columns_of(table: sa.Table) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table.name)}
