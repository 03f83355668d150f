-- The inputs that may go: those of a symbol that were stored before an instant, for forecasts from before it. Those
-- of the newest forecast of each model stay. Inserted into measure_rows.sql and delete_inputs.sql. Parameters:
-- timeframe, symbol, before timestamptz.
FROM prediction_inputs AS p
WHERE p.timeframe = %(timeframe)s::text AND p.symbol = %(symbol)s::text
    AND p.as_of < %(before)s::timestamptz AND p.stored_at < %(before)s::timestamptz
    AND EXISTS (
        SELECT FROM ml_predictions AS later
        WHERE later.symbol = p.symbol AND later.timeframe = p.timeframe AND later.model_name = p.model_name
            AND later.as_of > p.as_of
    )
