-- The calibrations of a model that were learned in a span, and of each asset class the newest before it. Parameters:
-- timeframe, model_name, model_version, first and last timestamptz (both included).
SELECT asset_class, as_of, low, high, counts
FROM prediction_calibration AS c
WHERE timeframe = %(timeframe)s::text AND model_name = %(model_name)s::text AND model_version = %(model_version)s::text
    AND as_of <= %(last)s::timestamptz
    AND as_of >= coalesce(
        (
            SELECT max(before.as_of) FROM prediction_calibration AS before
            WHERE before.timeframe = c.timeframe AND before.model_name = c.model_name
                AND before.model_version = c.model_version AND before.asset_class = c.asset_class
                AND before.as_of <= %(first)s::timestamptz
        ),
        '-infinity'
    )
ORDER BY asset_class, as_of
