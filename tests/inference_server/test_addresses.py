"""Which addresses of a server are taken, and what is said of the others."""

import pytest

from inference_server.addresses import host_of, is_loopback, server_address


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://127.0.0.1:8200", "http://127.0.0.1:8200"),
        (" http://models:9000/\n", "http://models:9000"),
        ("https://models.example", "https://models.example"),
        ("HTTP://[::1]:8200", "HTTP://[::1]:8200"),
        ("https://gateway.example/kronos/", "https://gateway.example/kronos"),
        ("https://gateway.example/model", "https://gateway.example/model"),
    ],
)
def test_usable_addresses(given: str, expected: str) -> None:
    assert server_address(given) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "'' is empty"),
        ("  ", "'  ' is empty"),
        ("localhost:8200", "'localhost:8200' has no scheme"),
        ("127.0.0.1:8200", "has no scheme"),
        ("//127.0.0.1:8200", "has no scheme"),
        ("htp://models", "has the scheme 'htp'"),
        ("ws://models", "has the scheme 'ws'"),
        ("http://", "names no host"),
        ("http://:8200", "names no host"),
        ("http://{host}:8200", "names no host"),
        ("http://models:port", "is no URL"),
        ("http://models:99999", "is no URL"),
        ("http://[::1:8200", "is no URL"),
        ("http://two words:8200", "has a blank in it"),
        ("http://mod\nels:8200", "has a blank in it"),
        ("http://models/predict", "ends in the server's route /predict"),
        ("http://models/kronos/predict-batch/", "ends in the server's route /predict-batch"),
        ("http://models/health/ready", "ends in the server's route /health"),
        ("http://models?key=1", "has a query"),
    ],
)
def test_unusable_addresses_are_refused_with_an_example(given: str, words: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as http://127") as refusal:
        server_address(given)
    assert words in str(refusal.value)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(ValueError, match="has the scheme") as refusal:
        server_address("ftp://me:secret@models")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("http://127.0.0.1:8200", True),
        ("http://127.9.9.9", True),
        ("http://LOCALHOST:8200", True),
        ("http://[::1]:8200/x", True),
        ("http://models:8200", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://10.0.0.1", False),
    ],
)
def test_own_addresses(address: str, own: bool) -> None:
    assert is_loopback(host_of(address)) is own
