"""Addresses of feeds: which are fetched, which redirects are followed, and what messages show of them."""

import pytest

from flows.loading.addresses import SourceError, check_redirect, check_web_address, placeholders, shown

HOSTS = {
    "public.example": ["93.184.215.14", "2606:2800:21f:cb07::1"],
    "other.example": ["93.184.215.15"],
    "inside.example": ["10.0.0.7"],
    "mixed.example": ["93.184.215.14", "192.168.1.1"],
    "unknown.example": [],
}


def addresses_of(host: str) -> list[str]:
    return HOSTS.get(host, [host])


@pytest.mark.parametrize(
    "address", ["http://example.com/a.csv", "https://example.com:8443/a?b=c", "HTTPS://example.com"]
)
def test_http_and_https_are_fetched(address: str) -> None:
    check_web_address(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("file:///etc/passwd", "the scheme 'file'; only http and https are fetched"),
        ("ftp://example.com/a.csv", "the scheme 'ftp'"),
        ("http://", "names no host"),
        ("http://exa mple.com/", "has a blank"),
        ("http://example.com:99999/", "is no web address"),
        ("http://[::1/", "is no web address"),
        ("https://me:pass-word@example.com/", "'https://…@example.com/' has a user name or a password in it"),
    ],
)
def test_other_addresses_are_refused(address: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as refusal:
        check_web_address(address)
    assert "pass-word" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://example.com/a?apikey=SECRET&from={from}", "https://example.com/a?apikey=…&from={from}"),
        ("https://example.com/a?SECRET", "https://example.com/a?…"),
        ("https://example.com/a?&&", "https://example.com/a?…"),
        ("https://me:SECRET@example.com/a#SECRET", "https://…@example.com/a"),
        ("https://example.com/{symbol}.csv", "https://example.com/{symbol}.csv"),
        ("http://[::1/?apikey=SECRET", "http://[::1/?…"),
    ],
)
def test_messages_show_no_value_of_a_query(address: str, expected: str) -> None:
    assert shown(address) == expected


def test_placeholders() -> None:
    assert placeholders("https://example.com/{symbol}?from={from}&to={to}") == {"symbol", "from", "to"}


@pytest.mark.parametrize(
    ("origin", "target"),
    [
        ("http://public.example/a", "https://public.example/a"),
        ("https://public.example/a", "https://other.example/b"),
        ("https://public.example/a", "https://unknown.example/b"),
        ("http://inside.example/a", "http://127.0.0.1/b"),
        ("http://127.0.0.1:8000/a", "http://127.0.0.1:9000/b"),
        ("http://127.0.0.1/a", "https://public.example/b"),
    ],
)
def test_redirects_that_are_followed(origin: str, target: str) -> None:
    check_redirect(origin, target, addresses_of)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("http://public.example/a", "from https to http"),
        ("file:///etc/passwd", "the scheme 'file'"),
        ("gopher://public.example/", "the scheme 'gopher'"),
        ("https://inside.example/a", "from a public host into a private network"),
        ("https://mixed.example/a", "into a private network"),
        ("https://127.0.0.1/a", "into a private network"),
        ("https://169.254.169.254/latest/meta-data?key=SECRET", "into a private network"),
        ("https://[::1]/a", "into a private network"),
        ("https://[::ffff:10.0.0.1]/a", "into a private network"),
        ("https://0.0.0.0/a", "into a private network"),
    ],
)
def test_redirects_that_are_not(target: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as refusal:
        check_redirect("https://public.example/a?apikey=SECRET", target, addresses_of)
    assert "SECRET" not in str(refusal.value)
