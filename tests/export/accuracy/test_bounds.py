import msgspec
import pytest

from export.accuracy.bounds import checked, report
from export.accuracy.errors import AccuracyError
from inference_server.engine.bundle import Accuracy, Change

NONE = Change(0.0, 0.0, 0.0)
FIGURES = Accuracy(
    data="candles.csv",
    windows={"crypto": 100, "fx": 200},
    blocks=60,
    lookback=256,
    pred_len=12,
    paths=32,
    effective_paths=31.9,
    nll_float32={"s1": 2.0, "s2": 4.0},
    nll=NONE,
    nll_s1=NONE,
    nll_s2=NONE,
    crps=NONE,
    width=NONE,
    same_s1=1.0,
    same_s2=0.99,
)


@pytest.mark.parametrize(
    ("figure", "change", "beyond"),
    [
        ("nll", Change(0.3, 0.2, 0.5), []),
        ("nll", Change(0.3, 0.2, 0.51), ["NLL per token"]),
        ("nll", Change(-2.0, -3.0, -1.0), []),
        ("crps", Change(0.6, 0.1, 0.99), []),
        ("crps", Change(0.6, 0.1, 1.01), ["CRPS"]),
        ("crps", Change(-2.0, -3.0, -1.0), []),
        ("width", Change(0.0, -1.9, 1.9), []),
        ("width", Change(0.0, -2.1, 1.9), ["width from p10 to p90"]),
        ("width", Change(0.0, -1.9, 2.1), ["width from p10 to p90"]),
        ("nll_s2", Change(9.0, 9.0, 9.0), []),
    ],
)
def test_the_ends_of_the_interval_must_be_within_the_bound(
    figure: str, change: Change, beyond: list[str]
) -> None:
    accuracy = msgspec.structs.replace(FIGURES, **{figure: change})
    accepted = checked(accuracy, "fp16", accept_loss=True)
    assert accepted == msgspec.structs.replace(accuracy, beyond=beyond)
    if beyond:
        with pytest.raises(AccuracyError, match=f"in fp16 .*{beyond[0]}.*--accept-accuracy-loss"):
            checked(accuracy, "fp16", accept_loss=False)
        assert "(accepted)" in "\n".join(report(accepted))
    else:
        assert checked(accuracy, "fp16", accept_loss=False) == accuracy


def test_the_report_has_every_figure() -> None:
    accuracy = msgspec.structs.replace(FIGURES, crps=Change(0.25, -0.5, 0.75))
    text = "\n".join(report(accuracy))
    for part in ("candles.csv", "300 windows (100 crypto, 200 fx)", "+0.25 % (-0.50 to +0.75 %)", "s2 99.0%"):
        assert part in text
