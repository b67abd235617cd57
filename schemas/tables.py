"""Define the platform's tables as far as the pipeline uses them, and its own columns on videos and ar_contents."""

from typing import Final

import sqlalchemy as sa

metadata: Final = sa.MetaData()


def _thumbnail_columns() -> tuple[sa.Column[object], ...]:
    """Our columns: all nullable, so that the platform's own inserts need not know them."""
    return (
        sa.Column("thumbnail_url", sa.String(2048)),
        sa.Column("thumbnails", sa.JSON),
        sa.Column("thumbnail_placeholder", sa.String(255)),
        sa.Column("thumbnail_status", sa.String(16)),
        sa.Column("thumbnail_error", sa.String(2048)),
        sa.Column("thumbnail_event_id", sa.String(128)),
        sa.Column("thumbnail_occurred_at", sa.DateTime(timezone=True)),
        sa.Column("thumbnail_updated_at", sa.DateTime(timezone=True)),
        sa.Column("thumbnail_given_up", sa.String(2048)),
        sa.Column("thumbnail_settings", sa.String(64)),
        sa.Column("thumbnail_revision", sa.BigInteger),
        sa.Column("thumbnail_details", sa.JSON),
        sa.Column("thumbnail_external_id", sa.String(200)),
    )


THUMBNAIL_COLUMN_NAMES: Final = tuple(column.name for column in _thumbnail_columns())

storage_connections: Final = sa.Table(
    "storage_connections",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("provider", sa.String(50), nullable=False),
    sa.Column("credentials", sa.JSON),
    sa.Column("base_path", sa.String(500)),
    sa.Column("is_default", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
)

companies: Final = sa.Table(
    "companies",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("slug", sa.String(255), nullable=False),
    sa.Column("storage_connection_id", sa.ForeignKey("storage_connections.id")),
    sa.Column("storage_path", sa.String(500)),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
)

projects: Final = sa.Table(
    "projects",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("company_id", sa.ForeignKey("companies.id"), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
)

ar_contents: Final = sa.Table(
    "ar_contents",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project_id", sa.ForeignKey("projects.id"), nullable=False),
    sa.Column("company_id", sa.ForeignKey("companies.id"), nullable=False),
    sa.Column("unique_id", sa.String(36), nullable=False),
    sa.Column("title", sa.String(255)),
    sa.Column("image_path", sa.String(1024)),
    sa.Column("image_url", sa.String(2048)),
    *_thumbnail_columns(),
)

videos: Final = sa.Table(
    "videos",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("ar_content_id", sa.ForeignKey("ar_contents.id"), nullable=False),
    sa.Column("video_path", sa.String(1024)),
    sa.Column("video_url", sa.String(2048)),
    sa.Column("title", sa.String(255)),
    sa.Column("duration", sa.Float),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("mime_type", sa.String(100)),
    *_thumbnail_columns(),
)
