-- One calibration: of a model, an asset class and an instant. Parameters: all columns except created_at.
INSERT INTO prediction_calibration AS stored (
    timeframe, model_name, model_version, asset_class, as_of, low, high, counts
)
VALUES (
    %(timeframe)s, %(model_name)s, %(model_version)s, %(asset_class)s, %(as_of)s, %(low)s::float8[],
    %(high)s::float8[], %(counts)s::integer[]
)
ON CONFLICT (timeframe, model_name, model_version, asset_class, as_of) DO UPDATE SET
    low = excluded.low,
    high = excluded.high,
    counts = excluded.counts
