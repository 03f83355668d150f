"""How many numbers an answer holds, known from its request alone, and the limit on them."""

from inference_server.errors import BeyondLimit
from inference_server.forecast.statistics_answer import statistics_values
from inference_server.schemas import ForecastSettings, Limits
from market.candles import FEATURES
from market.envelope import LEVELS

LARGE_ANSWER = 10_000
"""Numbers from which on an answer takes longer to build than a thread to hand it over, some milliseconds."""


def answer_values(asked: ForecastSettings, symbols: int) -> int:
    """Return how many numbers the answer for so many symbols holds: envelope, mean path, samples, statistics.

    A number takes about 20 bytes of JSON, as float32 values are written with all digits of a float64.
    """
    return (
        symbols * asked.pred_len * (len(LEVELS) + len(FEATURES) + _samples(asked) + statistics_values(asked))
    )


def is_large_answer(asked: ForecastSettings, symbols: int) -> bool:
    """Return whether the answer is built and written beside the event loop, which it would hold up."""
    return answer_values(asked, symbols) > LARGE_ANSWER


def check_answer_size(asked: ForecastSettings, symbols: int, limits: Limits) -> None:
    """Refuse a request whose answer would hold more numbers than one answer may.

    Raises
    ------
    BeyondLimit
        With the numbers that it would hold, the limit, and what to ask for instead.
    """
    values, most = answer_values(asked, symbols), limits.max_answer_values
    if most is None or values <= most:
        return
    ways = ["a shorter horizon (pred_len)"]
    if asked.return_samples:
        ways.insert(0, "fewer paths (sample_count)")
        ways.append("no samples")
    if asked.return_samples == "full":
        ways.insert(-1, 'the close of every path alone (return_samples true instead of "full")')
    if statistics_values(asked):
        ways.append("fewer quantiles and prices")
    if symbols > 1:
        ways.append("fewer symbols, in several requests")
    raise BeyondLimit(
        f"the answer would hold {values} numbers: {symbols} symbol{'s' * (symbols > 1)} × {asked.pred_len} "
        f"candles × {values // symbols // asked.pred_len} for each; expected at most {most}. Ask for "
        f"{', '.join(ways[:-1])}{' or ' * (len(ways) > 1)}{ways[-1]}",
        given=values,
        expected=f"at most {most} (KRONOS_MAX_ANSWER_VALUES)",
    )


def _samples(asked: ForecastSettings) -> int:
    """Numbers of samples that each future candle has."""
    if not asked.return_samples:
        return 0
    return asked.sample_count * (len(FEATURES) if asked.return_samples == "full" else 1)
