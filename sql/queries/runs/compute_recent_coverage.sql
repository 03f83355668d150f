-- Count the known and the covered closes of the live forecasts that matured in a span, by asset class and model.
-- Parameters: timeframe, matured_after (excluded) and matured_by (included) timestamptz, and of the instruments that the
-- table may lack symbols text[] and asset_classes text[].
INSERT INTO recent_coverage (
    timeframe, asset_class, model_name, computed_at, closes, covered, closes_calibrated, covered_calibrated
)
SELECT
    s.timeframe, coalesce(i.asset_class, packaged.asset_class), s.model_name, %(matured_by)s::timestamptz,
    sum(cardinality(array_remove(s.covered, NULL))),
    sum(cardinality(array_positions(s.covered, true))),
    coalesce(sum(cardinality(array_remove(s.covered_calibrated, NULL))), 0),
    coalesce(sum(cardinality(array_positions(s.covered_calibrated, true))), 0)
FROM prediction_scores AS s
LEFT JOIN instruments AS i USING (symbol)
LEFT JOIN unnest(%(symbols)s::text[], %(asset_classes)s::text[]) AS packaged (symbol, asset_class) USING (symbol)
WHERE s.timeframe = %(timeframe)s::text
    AND s.matured_at > %(matured_after)s::timestamptz AND s.matured_at <= %(matured_by)s::timestamptz
    AND NOT s.backfilled
    AND coalesce(i.asset_class, packaged.asset_class) IS NOT NULL
GROUP BY 1, 2, 3
ON CONFLICT (timeframe, asset_class, model_name) DO UPDATE SET
    computed_at = excluded.computed_at,
    closes = excluded.closes,
    covered = excluded.covered,
    closes_calibrated = excluded.closes_calibrated,
    covered_calibrated = excluded.covered_calibrated
