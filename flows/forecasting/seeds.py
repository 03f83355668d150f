"""Derives the default seed of a forecast from its identity, so that a rerun draws the same paths."""

from datetime import UTC, datetime
from hashlib import blake2b

SEED_BITS = 53  # JavaScript readers of the stored row hold integers up to 2**53 exactly


def forecast_seed(symbol: str, timeframe: str, as_of: datetime, model_version: str) -> int:
    """Hash the identity of a forecast to a seed.

    Parameters
    ----------
    symbol, timeframe
        Instrument and length of a candle.
    as_of
        Open of the last candle used, aware; any zone, the instant counts.
    model_version
        The bundle's content hash.

    Returns
    -------
    int
        0 … 2**53 − 1, the same on every machine and in every Python version.

    Raises
    ------
    ValueError
        `as_of` has no time zone: the same wall time in two zones would be two forecasts.
    """
    if as_of.tzinfo is None:
        raise ValueError(
            f"as_of {as_of.isoformat()} has no time zone; give an aware time, such as one in UTC"
        )
    instant = as_of.astimezone(UTC).isoformat(timespec="microseconds")
    identity = "\x1f".join((symbol, timeframe, instant, model_version))
    digest = blake2b(identity.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - SEED_BITS)
