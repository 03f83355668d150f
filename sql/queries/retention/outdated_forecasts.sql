-- The forecasts of a symbol that may go: scored in their present state, with a last candle that opened before an
-- instant. The newest of each model stays. Inserted into measure_rows.sql and delete_forecasts.sql.
-- Parameters: timeframe, symbol, before timestamptz.
FROM ml_predictions AS p
WHERE p.timeframe = %(timeframe)s::text AND p.symbol = %(symbol)s::text
    AND p.as_of < %(before)s::timestamptz AND isfinite(p.as_of) AND p.timestamps[p.pred_len] < %(before)s::timestamptz
    AND p.scored_at IS NOT NULL AND (p.scored_at < p.updated_at) IS NOT TRUE
    AND EXISTS (
        SELECT FROM ml_predictions AS later
        WHERE later.symbol = p.symbol AND later.timeframe = p.timeframe AND later.model_name = p.model_name
            AND later.as_of > p.as_of
    )
