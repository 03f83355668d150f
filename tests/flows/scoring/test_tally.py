"""What a scoring run says of itself."""

from flows.scoring.tally import Tally, final_state


def test_a_complete_run_says_how_many() -> None:
    state = final_state(Tally(new=3, changed=1, unchanged=20))
    assert state.is_completed()
    assert (state.name, state.message) == ("Completed", "3 newly scored, 1 changed, 20 unchanged.")


def test_what_the_scores_lack_is_in_name_and_message() -> None:
    tally = Tally(new=3, without_events="no calendar rows")
    tally.count_unscored([("SQ", "no candles"), ("BTC-USD", "no candles"), ("SQ", "no candles")])
    state = final_state(tally)
    assert state.is_completed()
    assert state.data == tally
    assert state.name == "CompletedWithoutEvents"
    assert state.message == (
        "3 newly scored, 0 changed, 0 unchanged. not-scored: no candles: BTC-USD (1), SQ (2). "
        "scores-without-events: SCORES WITHOUT EVENTS: no calendar rows."
    )
