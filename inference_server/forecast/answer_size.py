"""Computes from a request how many numbers its answer will hold."""

from inference_server.schemas import ForecastSettings, PredictRequest, ProbabilityRequest
from market.candles import FEATURES
from market.envelope import LEVELS

_PRICE_FEATURES = 4  # open, high, low, close

LARGE_ANSWER = 10_000
"""Numbers above which building an answer takes longer than handing it to a thread, some milliseconds."""


def answer_values(settings: ForecastSettings, symbols: int) -> int:
    """Return how many numbers the answer for a number of symbols holds.

    They are the envelope, the mean path, the samples and the statistics.

    A number takes about 20 bytes of JSON, as float32 values are written with all digits of a float64.
    """
    return (
        symbols
        * settings.pred_len
        * (len(LEVELS) + len(FEATURES) + _samples(settings) + statistics_values(settings))
    )


def is_large_answer(settings: ForecastSettings, symbols: int) -> bool:
    """Return whether building and encoding the answer would block the event loop for too long."""
    return answer_values(settings, symbols) > LARGE_ANSWER


def statistics_values(settings: ForecastSettings) -> int:
    """Return how many numbers the statistics of one symbol hold for each future candle."""
    levels = len(settings.quantiles or ())
    values = _PRICE_FEATURES * levels + (levels or len(LEVELS)) * bool(settings.realised_volatility)
    if isinstance(settings, PredictRequest) and isinstance(settings.probabilities, ProbabilityRequest):
        values += 1 + len(settings.probabilities.close_above) + len(settings.probabilities.touch)
    return values


def _samples(settings: ForecastSettings) -> int:
    """Return how many numbers of samples each future candle has."""
    if not settings.return_samples:
        return 0
    return settings.sample_count * (len(FEATURES) if settings.return_samples == "full" else 1)
