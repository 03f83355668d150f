"""Cuts long JSON lists into shorter ones, so that parsing each blocks the interpreter only for
milliseconds."""

import re
from collections.abc import Iterator

PIECE_BYTES = 2**17
VALUES, ROWS = re.compile(rb","), re.compile(rb"\]\s*,")


def is_long_list(raw: bytes) -> bool:
    """Return whether JSON is a list that is long enough to be cut."""
    return len(raw) > PIECE_BYTES and raw[:1] == b"["


def list_pieces(raw: bytes, ends: re.Pattern[bytes]) -> Iterator[bytes]:
    """Yield a JSON list as consecutive lists of about `PIECE_BYTES`.

    Parameters
    ----------
    raw
        A list in valid JSON, without surrounding blanks.
    ends
        Pattern of the end of an item with its comma: `VALUES` for a list of scalars, `ROWS` for a list of
        lists of scalars. A piece may be invalid JSON if a string among the items matches too.
    """
    start, last = 1, len(raw) - 1
    while last - start > PIECE_BYTES and (end := ends.search(raw, start + PIECE_BYTES, last)) is not None:
        yield b"[" + raw[start : end.end() - 1] + b"]"
        start = end.end()
    yield b"[" + raw[start:last] + b"]"
