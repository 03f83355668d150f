"""Secrets of feeds: read by name, and never shown."""

import pytest

from flows.files.errors import TableError
from flows.loading.addresses import SourceError
from flows.loading.credentials import Credentials, read_credentials
from flows.loading.download import SourceUnavailable


def block(name: str) -> str:
    if name == "feed-key":
        return "of-the-block"
    raise ValueError(f"Unable to find block document named {name}")


def test_environment_variables_come_before_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEED_TOKEN", " of-the-environment ")
    read = read_credentials({"X-Token": "FEED_TOKEN", "X-Other": "feed-key"}, "feed-key", block)
    assert read == Credentials({"X-Token": "of-the-environment", "X-Other": "of-the-block"}, "of-the-block")
    assert repr(read) == "Credentials()"
    assert read_credentials(None, None) == Credentials()


@pytest.mark.parametrize("name", ["FEED_KEY", "3f9a-the-secret-itself", "", "a=b"])
def test_a_missing_secret_is_not_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("FEED_KEY", " ")
    for read_block in (None, block):
        with pytest.raises(SourceError, match="named for the header X-Token is missing or empty") as refusal:
            read_credentials({"X-Token": name}, None, read_block)
        assert not name or name not in str(refusal.value)


@pytest.mark.parametrize("value", ["two\nlines", "naïve"])
def test_a_value_that_no_header_may_have_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FEED_KEY", value)
    with pytest.raises(SourceError, match=r"the secret for \{key\} has a line break") as refusal:
        read_credentials(None, "FEED_KEY")
    assert value not in str(refusal.value)


def test_the_key_is_quoted_in_the_address() -> None:
    assert Credentials(key="a/b&c").filled("https://x/?k={key}") == "https://x/?k=a%2Fb%26c"
    assert Credentials().filled("https://x/?k={key}") == "https://x/?k={key}"


@pytest.mark.parametrize("kind", [TableError, SourceError, SourceUnavailable])
def test_messages_lose_every_secret_and_keep_their_type(kind: type[TableError]) -> None:
    credentials = Credentials({"X-Token": 'one "secret"'}, "a/b&c")
    error = credentials.without_secrets(kind(r"one \"secret\", a/b&c and a%2Fb%26c are not valid"))
    assert type(error) is kind
    assert str(error) == "…, … and … are not valid"
