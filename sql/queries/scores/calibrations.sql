-- The newest calibration of each asset class that a forecast made at an instant may use. Parameters: timeframe,
-- model_name, model_version, as_of timestamptz.
SELECT DISTINCT ON (asset_class) asset_class, as_of, low, high, counts
FROM prediction_calibration
WHERE timeframe = %(timeframe)s::text AND model_name = %(model_name)s::text AND model_version = %(model_version)s::text
    AND as_of <= %(as_of)s::timestamptz
ORDER BY asset_class, as_of DESC
