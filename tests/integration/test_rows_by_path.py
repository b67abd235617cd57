"""Rows are found by the paths of their files, in both databases."""

import pytest
import sqlalchemy as sa

from schemas.database import create_engine_for
from schemas.events import MediaKind
from schemas.migrations import upgrade
from schemas.tables import ar_contents, companies, projects, videos
from streams.rows import by_path
from streams.rows.by_path import PathRow, RowsByPath


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def engine(request: pytest.FixtureRequest) -> sa.Engine:
    url = str(request.getfixturevalue(request.param))
    upgrade(url)
    engine = create_engine_for(url)
    with engine.begin() as connection:
        for company in (1, 2):
            connection.execute(companies.insert().values(id=company, name="c", slug=f"c{company}"))
            connection.execute(projects.insert().values(id=company, company_id=company, name="p"))
        for number, company, path in ((9, 1, None), (10, 2, "a/photo.jpg"), (11, 2, "a/shared.bin")):
            row = {"id": number, "project_id": company, "company_id": company, "unique_id": str(number)}
            connection.execute(ar_contents.insert().values(row | {"image_path": path}))
        for number, content, path in ((42, 9, "a/Größe 1.mp4"), (43, 10, "a/shared.bin"), (44, 9, "a/shared.bin")):
            connection.execute(videos.insert().values(id=number, ar_content_id=content, video_path=path))
    return engine


def test_each_path_has_the_rows_that_name_it(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_path, "PATHS_A_QUERY", 2)
    paths = ["a/Größe 1.mp4", "a/photo.jpg", "a/shared.bin", "a/nowhere", "a/größe 1.mp4"]
    found = RowsByPath(engine).find(paths)
    engine.dispose()
    assert found == {
        "a/Größe 1.mp4": (PathRow(MediaKind.VIDEO, 42, 9, 1),),
        "a/photo.jpg": (PathRow(MediaKind.IMAGE, 10, 10, 2),),
        "a/shared.bin": (
            PathRow(MediaKind.VIDEO, 43, 10, 2),
            PathRow(MediaKind.VIDEO, 44, 9, 1),
            PathRow(MediaKind.IMAGE, 11, 11, 2),
        ),
    }
