"""Long JSON lists cut into shorter ones, so that reading one holds the interpreter for a few milliseconds."""

import re
from collections.abc import Iterator

PIECE_BYTES = 2**17
VALUES, ROWS = re.compile(rb","), re.compile(rb"\]\s*,")


def is_long_list(raw: bytes) -> bool:
    """Return whether JSON is a list that is worth cutting."""
    return len(raw) > PIECE_BYTES and raw[:1] == b"["


def list_pieces(raw: bytes, ends: re.Pattern[bytes]) -> Iterator[bytes]:
    """Yield a JSON list as lists of about `PIECE_BYTES`, whose items one after the other are its own.

    Parameters
    ----------
    raw
        A list of valid JSON, without blanks around it.
    ends
        What an item ends with, its comma included: `VALUES` of a list of scalars, `ROWS` of a list of lists
        of scalars. Where a string among the items holds that too, a piece may be no JSON.
    """
    start, last = 1, len(raw) - 1
    while last - start > PIECE_BYTES and (found := ends.search(raw, start + PIECE_BYTES, last)) is not None:
        yield b"[" + raw[start : found.end() - 1] + b"]"
        start = found.end()
    yield b"[" + raw[start:last] + b"]"
