-- The oldest as_of among the scored forecasts that matured after an instant, and those that are to be scored now and may
-- have; NULL where there are none. Parameters: timeframe, as_of and recheck_from timestamptz.
SELECT least(
    (
        SELECT min(as_of) FROM prediction_scores
        WHERE timeframe = %(timeframe)s::text AND matured_at > %(recheck_from)s::timestamptz AND isfinite(as_of)
    ),
    (
        -- A last candle closes within a week of its open.
        SELECT min(as_of) FROM ml_predictions
        WHERE timeframe = %(timeframe)s::text AND (scored_at IS NULL OR scored_at < updated_at) AND isfinite(as_of)
            AND timestamps[pred_len] > %(recheck_from)s::timestamptz - interval '7 days'
            AND timestamps[pred_len] < %(as_of)s::timestamptz
    )
)
