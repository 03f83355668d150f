"""Says how much accuracy a bundle may lose against float32, and refuses one that loses more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from export.accuracy.errors import AccuracyError
from inference_server.engine.bundle import Accuracy, Change


@dataclass(frozen=True)
class Bound:
    """The most that a figure may change, in percent; it applies to the interval's end, not to its middle."""

    name: str
    change: Callable[[Accuracy], Change]
    most: float
    both_ways: bool = False

    def is_kept(self, accuracy: Accuracy) -> bool:
        """Whether the interval of the figure is within the bound; NaN is not."""
        change = self.change(accuracy)
        return change.high <= self.most and (not self.both_ways or change.low >= -self.most)

    @property
    def text(self) -> str:
        """The bound in words."""
        return f"{'within ±' if self.both_ways else 'at most '}{self.most:g} %"


BOUNDS: Final = (
    # Of the demo model's 6.6 nats a candle it is 0.03; events give it 0.43 on the candles that they touch.
    Bound("NLL per token", lambda accuracy: accuracy.nll, 0.5),
    # The demo model's lead over a random walk is 4 % at the first step and 1 % later: more would cost it.
    Bound("CRPS", lambda accuracy: accuracy.crps, 1.0),
    # The width counts both ways: a narrower envelope misses more closes. 2 % moves the coverage of a normal
    # distribution's p10 to p90 by 0.9 points, which is below what calibration over 500 forecasts resolves.
    Bound("width from p10 to p90", lambda accuracy: accuracy.width, 2.0, both_ways=True),
)


def checked(accuracy: Accuracy, precision: str, *, accept_loss: bool) -> Accuracy:
    """Return the figures, with those that are out of bounds named in `beyond`.

    Raises
    ------
    AccuracyError
        One is out of bounds, and `accept_loss` is false.
    """
    broken = [bound for bound in BOUNDS if not bound.is_kept(accuracy)]
    if broken and not accept_loss:
        figures = "; ".join(
            f"{bound.name} {change_text(bound.change(accuracy))}, {bound.text} is allowed" for bound in broken
        )
        raise AccuracyError(
            f"in {precision} the model loses too much accuracy against float32: {figures}. Export with "
            "--precision fp32, or with --accept-accuracy-loss if that is good enough; no bundle was written"
        )
    return msgspec.structs.replace(accuracy, beyond=[bound.name for bound in broken])


def change_text(change: Change) -> str:
    """Return a change and its interval as text."""
    return f"{change.percent:+.2f} % ({change.low:+.2f} to {change.high:+.2f} %)"


def report(accuracy: Accuracy) -> list[str]:
    """Return the figures as lines of text."""
    classes = ", ".join(f"{count} {name}" for name, count in accuracy.windows.items())
    nats: Mapping[str, float] = accuracy.nll_float32
    lines = [
        f"accuracy against float32 on {accuracy.data}: {sum(accuracy.windows.values())} windows ({classes}) "
        f"of {accuracy.lookback} + {accuracy.pred_len} candles, {accuracy.paths} paths "
        f"({accuracy.effective_paths:.1f} effective), 95 % intervals"
    ]
    for bound in BOUNDS:
        mark = " (accepted)" if bound.name in accuracy.beyond else ""
        lines.append(f"  {bound.name:22} {change_text(bound.change(accuracy))}, {bound.text}{mark}")
    lines += [
        f"  of s1 and s2           {change_text(accuracy.nll_s1)}, {change_text(accuracy.nll_s2)}; "
        f"{nats['s1']:.2f} and {nats['s2']:.2f} nats in float32",
        f"  same likeliest token   s1 {accuracy.same_s1:.1%}, s2 {accuracy.same_s2:.1%}",
    ]
    return lines
