"""A URL without its passwords, however it is written: a role logs its settings before it knows that they are wrong."""

import pytest

from service.settings import redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cret@host:5432/x", "postgresql://me:***@host:5432/x"),
        ("postgresql://me:s3@cret@host/x?a=b", "postgresql://me:***@host/x?a=b"),
        ("postgresql://me:s3cret@one:5432,two:5432/x?target_session_attrs=read-write", None),
        ("postgresql://me:5432,s3cret/x", "postgresql://me:***/x"),
        ("postgresql://me:s3cret/x", "postgresql://me:***/x"),
        ("me:s3cret@host/x", "me:***@host/x"),
        ("me:s3cret", "me:***"),
        ("postgresql://host:5432/x?user=me&password=s3cret&sslmode=require", None),
        ("postgresql://host/x?sslpassword=s3cret", "postgresql://host/x?sslpassword=***"),
    ],
)
def test_no_password_is_left(url: str, shown: str | None) -> None:
    assert redact_url(url) == (shown or url.replace("s3cret", "***"))


@pytest.mark.parametrize(
    "url",
    [
        "foo",
        "sqlite:///x.db",
        "sqlite:///:memory:",
        "sqlite:////a:b/c.db",
        "sqlite:///file:/tmp/x.db?mode=ro&uri=true",
        "postgresql://host:5432",
        "postgresql://me@host:5432/x",
        "postgresql://one:5432,two:5432/x",
        "postgresql://[::1]:5432/x",
    ],
)
def test_what_holds_no_password_stays_as_it_is(url: str) -> None:
    assert redact_url(url) == url
