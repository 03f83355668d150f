"""Measures what events change: each forecast with them beside the same forecast without, from one seed."""

import msgspec
import numpy as np

from flows.backtest.baselines import RANDOM_WALK
from flows.evaluation.accuracy import ratio
from flows.evaluation.estimates import BlockBootstrap, Estimate
from flows.evaluation.panel import NO_RELEASE, ModelScores, Panel
from market.types import BoolArray


class EventEffect(msgspec.Struct, frozen=True):
    """Forecasts with events beside those without, over a group of closes.

    Attributes
    ----------
    group
        ``all``; ``release`` (one falls on the candle), a kind of release, or ``no release``; ``event day``
        and ``quiet day`` by the candle's day.
    crps_ratio, width_ratio
        Mean with events over mean without; a CRPS ratio below 1 speaks for the events.
    log_score_gain
        Log score without events minus that with them, nats for each close; above 0 speaks for the events.
    width_with, width_without
        Width of p10–p90 over that of the random walk in the same window at the same step.
    coverage_with, coverage_without
        Share of closes within p10–p90.
    """

    group: str
    crps_ratio: Estimate
    log_score_gain: Estimate
    width_ratio: Estimate
    width_with: Estimate
    width_without: Estimate
    coverage_with: Estimate
    coverage_without: Estimate


def event_effects(panel: Panel, bootstrap: BlockBootstrap) -> list[EventEffect]:
    """Return the effect of events in each group of closes that has any; empty if none was forecast twice."""
    other = panel.without_events
    if other is None:
        return []
    released = np.logical_or.reduce([mask for kind, mask in panel.releases.items() if kind != NO_RELEASE])
    groups = {
        "all": np.ones_like(released),
        "release": released,
        **panel.releases,
        "event day": panel.event_day,
        "quiet day": panel.quiet_day,
    }
    own = panel.scores[panel.model]
    both = np.isfinite(own.covered) & np.isfinite(other.covered)
    return [
        _effect(panel, bootstrap, other, group, mask & both)
        for group, mask in groups.items()
        if (mask & both).any()
    ]


def _effect(
    panel: Panel, bootstrap: BlockBootstrap, other: ModelScores, group: str, among: BoolArray
) -> EventEffect:
    own, walk = panel.scores[panel.model], panel.scores[RANDOM_WALK]
    one = np.ones_like(own.crps)
    return EventEffect(
        group=group,
        crps_ratio=ratio(panel, bootstrap, own.crps, other.crps, among),
        log_score_gain=ratio(panel, bootstrap, other.log_score - own.log_score, one, among),
        width_ratio=ratio(panel, bootstrap, own.width, other.width, among),
        width_with=ratio(panel, bootstrap, own.width, walk.width, among),
        width_without=ratio(panel, bootstrap, other.width, walk.width, among),
        coverage_with=ratio(panel, bootstrap, own.covered, one, among),
        coverage_without=ratio(panel, bootstrap, other.covered, one, among),
    )
