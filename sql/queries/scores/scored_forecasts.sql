-- Scores with their envelopes, ordered by the time at which the forecast matured. The model of backfilled forecasts has
-- a note, so that figures of live ones are of these alone; so has that of forecasts of candles that it was trained on.
-- Of the forecasts the share that the threshold says is returned, of 2^20, chosen by a hash of symbol and as_of. Each is
-- one probe of the key, whatever number of rows is expected.
-- Parameters: timeframe, matured_after (excluded) and matured_by (included) timestamptz, threshold.
SELECT
    s.model_name
        || CASE WHEN p.backfilled THEN ' (backfilled)' ELSE '' END
        || CASE
            WHEN EXISTS (SELECT FROM unnest(p.warnings) AS warning WHERE warning LIKE 'in-training-span:%%')
                THEN ' (in training span)'
            ELSE ''
        END AS model,
    s.symbol, s.as_of, s.last_close,
    p.p10, p.p50, p.p90, p.p10_calibrated, p.p90_calibrated,
    s.actual, s.covered, s.covered_calibrated, s.pinball, s.abs_error, s.direction_hit, s.crps,
    s.events_active, s.step_events, s.event_day
FROM prediction_scores AS s
CROSS JOIN LATERAL (
    SELECT
        f.p10::float8[], f.p50::float8[], f.p90::float8[], f.p10_calibrated, f.p90_calibrated, f.backfilled, f.warnings
    FROM ml_predictions AS f
    WHERE f.symbol = s.symbol AND f.timeframe = s.timeframe AND f.as_of = s.as_of AND f.model_name = s.model_name
    LIMIT 1
) AS p
WHERE s.timeframe = %(timeframe)s::text
    AND s.matured_at > %(matured_after)s::timestamptz AND s.matured_at <= %(matured_by)s::timestamptz
    AND (hashtextextended(s.symbol, extract(epoch FROM s.as_of)::bigint) & 1048575) < %(threshold)s::integer
ORDER BY s.matured_at, s.symbol, model
