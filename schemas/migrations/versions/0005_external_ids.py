"""The column for the name that the platform itself has for a media; null where no upload has given one."""

import sqlalchemy as sa
from alembic import op

from schemas.tables import ar_contents, videos

revision = "0005"
down_revision = "0004"

_NAMES = ("thumbnail_external_id",)


def upgrade() -> None:
    """Add the columns where 0001 has not made them already."""
    for table in (ar_contents, videos):
        present = _columns_of(table)
        for name in _NAMES:
            if name not in present:
                op.add_column(table.name, sa.Column(name, table.c[name].type))


def downgrade() -> None:
    """Drop the columns."""
    for table in (videos, ar_contents):
        present = _columns_of(table)
        for name in _NAMES:
            if name in present:
                op.drop_column(table.name, name)


def _columns_of(table: sa.Table) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table.name)}
