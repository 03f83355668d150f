-- The inputs that may go: those of some symbols that were stored before an instant, for forecasts from before it. Those
-- of the newest forecast of each symbol and model stay. Inserted into measure_rows.sql and delete_inputs.sql. Parameters:
-- timeframe, symbols text[], before timestamptz.
FROM prediction_inputs AS p
WHERE p.timeframe = %(timeframe)s::text AND p.symbol = ANY (%(symbols)s::text[])
    AND p.as_of < %(before)s::timestamptz AND p.stored_at < %(before)s::timestamptz
    AND EXISTS (
        SELECT FROM ml_predictions AS later
        WHERE later.symbol = p.symbol AND later.timeframe = p.timeframe AND later.model_name = p.model_name
            AND later.as_of > p.as_of
    )
