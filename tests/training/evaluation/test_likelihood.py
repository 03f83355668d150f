import numpy as np
import pytest

from export.model.event_encoder import EventEncoder
from market.time_features import time_features
from tests.helpers.stretches import stretch
from training.evaluation.likelihood import (
    CUT,
    WINDOW,
    event_likelihood_figures,
    held_out_windows,
    likelihood_figures,
)

START = np.datetime64("2020-03-02")


@pytest.fixture(scope="module")
def windows():
    rows = np.zeros((1700, 20), np.float32)
    rows[::50, 0] = 1
    source = stretch(1700, events=rows)
    return source, held_out_windows([source], START)


def test_each_candle_from_the_start_on_is_scored_once(windows):
    source, batches = windows
    first = int(np.searchsorted(source.timestamps, START))
    assert len(batches) == (len(source) - first) // (WINDOW - CUT)
    scored = np.concatenate([window.stamp[0, CUT:].numpy() for window in batches])
    np.testing.assert_array_equal(scored, time_features(source.timestamps[first : first + len(scored)]))


def test_baselines_and_model_are_scored_on_the_same_tokens(tiny_checkpoint, windows, monkeypatch):
    monkeypatch.setattr("training.evaluation.likelihood.COUNTED", 16)
    _, batches = windows
    figures = {f.name: f for f in likelihood_figures(tiny_checkpoint, [stretch(600, seed=9)], batches)}
    assert {figure.n for figure in figures.values()} == {len(batches)}
    model, unigram = figures["model, nats per token"].value, figures["unigram"].value
    assert figures["unigram − model"].value == pytest.approx(unigram - model)
    assert figures["bigram"].value < unigram


def test_events_without_effect_gain_no_likelihood(tiny_checkpoint, windows):
    _, batches = windows
    encoder = EventEncoder(tiny_checkpoint.decoder.config.d_model).requires_grad_(False)
    encoder.proj.weight.zero_()
    figures = event_likelihood_figures(tiny_checkpoint, tiny_checkpoint.decoder, encoder, batches)
    assert [figure.value for figure in figures] == [0, 0, 0]
    releases, events, others = (figure.n for figure in figures)
    assert releases == events > 0
    assert events + others == len(batches) * (WINDOW - CUT)
