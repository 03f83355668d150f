"""Checks the media type of bodies and decodes their compression and character encoding."""

import json
import re
import zlib
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from inference_server.errors import BodyTooLarge, InvalidBody, UnsupportedMedia
from inference_server.http.body_parts import LONGEST_SHOWN

_GZIP = 16 + zlib.MAX_WBITS  # zlib's code for the header and trailer of gzip


async def only_json(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Require a body of type JSON; a Litestar guard.

    A browser sends JSON to another site only after a preflight request, while any page can make it send
    forms, plain text or a body without a type.

    Raises
    ------
    UnsupportedMedia
        If the Content-Type is not JSON, or missing.
    """
    content_type = connection.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not re.fullmatch(r"application/[\w.-]+\+json", kind):
        raise UnsupportedMedia(
            "the body must be sent as JSON",
            given=content_type[:LONGEST_SHOWN],
            expected="Content-Type: application/json",
        )


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its compression.

    Parameters
    ----------
    body, encoding
        The body as received, and its Content-Encoding: gzip, identity or none.
    limit
        The most bytes that the decompressed body may have.

    Raises
    ------
    UnsupportedMedia
        If it is compressed in another way.
    BodyTooLarge
        If it is larger; decompression stops at the limit.
    InvalidBody
        If it is incomplete, or not gzip.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedMedia(
            "the body is packed in a way that this server does not read",
            given=encoding[:LONGEST_SHOWN],
            expected="gzip as Content-Encoding, or none",
        )
    parts: list[bytes] = []
    remaining = limit
    while body:  # a gzip file may have several members
        member = zlib.decompressobj(wbits=_GZIP)
        try:
            parts.append(member.decompress(body, remaining + 1))
        except zlib.error as error:
            raise InvalidBody(f"the body is not the gzip that Content-Encoding says: {error}") from None
        remaining -= len(parts[-1])
        if remaining < 0:
            raise BodyTooLarge(
                f"the body has more than {limit} bytes once it is unpacked (KRONOS_MAX_BODY_BYTES)",
                expected=f"at most {limit} bytes",
            )
        if not member.eof:
            raise InvalidBody("the body ends in the middle of its gzip; send all of it")
        body = member.unused_data
    return b"".join(parts)


def in_utf8(body: bytes) -> bytes:
    """Return a body in UTF-8 without a byte order mark; it may be sent in UTF-16 or UTF-32, or with one.

    Raises
    ------
    InvalidBody
        If it is not text in the encoding that its first bytes announce.
    """
    encoding = json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    try:
        return body.decode(encoding).encode()
    except UnicodeError as error:
        raise InvalidBody(f"the body is not JSON in UTF-8: {error}") from None
