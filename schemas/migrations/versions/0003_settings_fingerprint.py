"""The column that says with which settings a row's pictures were made; null in rows of before, which count as old."""

import sqlalchemy as sa
from alembic import op

from schemas.tables import ar_contents, videos

revision = "0003"
down_revision = "0002"

_NAME = "thumbnail_settings"


def upgrade() -> None:
    """Add the column where 0001 has not made it already. Without an index: rows are looked for in the order of their ids."""
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
