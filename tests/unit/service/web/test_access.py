"""Who may see the page: addresses, hosts, tokens, origins."""

import pytest

from service.web.access import SESSION_COOKIE, Access, access_problem

TOKEN = "0123456789abcdef"  # noqa: S105 - of the tests alone


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert access_problem(host, None) is None


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.1.2.3", "thumbs.example", "127.0.0.1.evil.example"],  # noqa: S104 - what it is about
)
def test_any_other_address_needs_a_token_and_one_sentence_says_so(host: str) -> None:
    problem = access_problem(host, None)
    assert problem is not None
    assert "WEB_TOKEN" in problem
    assert len(problem.splitlines()) == 1
    assert access_problem(host, TOKEN) is None


@pytest.mark.parametrize("token", ["", "short", "0123456789abcde", "0123456789abcdé€", "0123456789\nabcdef"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused_everywhere(token: str) -> None:
    assert access_problem("127.0.0.1", token) is not None


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("127.0.0.1:8090", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8090", True),
        ("thumbs.example:443", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8090", False),
        ("localhost@evil.example", False),
        ("evil.example/localhost", False),
        ("localhost:port", False),
        ("10.1.2.3", False),
        ("", False),
        (None, False),
    ],
)
def test_a_name_that_is_let_point_to_this_machine_is_no_host_of_ours(host: str | None, is_known: bool) -> None:
    assert Access("127.0.0.1", None, ("Thumbs.example",)).is_known_host(host) is is_known


def test_a_page_for_others_is_reached_by_any_address_but_not_by_any_name() -> None:
    access = Access("0.0.0.0", TOKEN)  # noqa: S104 - what the test is about
    assert access.is_known_host("10.1.2.3:8090")
    assert access.is_known_host("[fd00::1]:8090")
    assert not access.is_known_host("evil.example:8090")


def test_the_token_or_a_session_made_from_it_opens_the_page_and_nothing_else_does() -> None:
    access, other = Access("10.0.0.1", TOKEN), Access("10.0.0.1", TOKEN[::-1])
    assert access.may_see({SESSION_COOKIE: access.session}, None)
    assert access.may_see({}, f"Bearer {TOKEN}")
    assert access.may_see({}, f"bearer  {TOKEN} ")
    for cookies, header in (
        ({}, None),
        ({SESSION_COOKIE: TOKEN}, None),
        ({SESSION_COOKIE: other.session}, None),
        ({SESSION_COOKIE: ""}, "Bearer "),
        ({}, f"Basic {TOKEN}"),
        ({}, f"Bearer {TOKEN}x"),
        ({SESSION_COOKIE: "é"}, "Bearer é"),
    ):
        assert not access.may_see(cookies, header)
    assert TOKEN not in access.session


@pytest.mark.parametrize(
    ("origin", "is_same"),
    [
        ("http://localhost:8090", True),
        ("https://LOCALHOST:8090", True),
        ("http://localhost:9999", False),
        ("http://evil.example", False),
        ("null", False),
        ("http://[", False),
        (None, False),
    ],
)
def test_only_a_page_of_this_very_server_has_its_origin(origin: str | None, is_same: bool) -> None:
    assert Access("127.0.0.1", None).is_same_origin(origin, "localhost:8090") is is_same
