-- Keys of the forecasts of some symbols that a backfill leaves alone: the live ones, and those that were backfilled since
-- an instant. Parameters: symbols text[], timeframe, model_name, first and last as_of (both included) timestamptz,
-- backfilled_since timestamptz.
SELECT symbol, as_of
FROM ml_predictions
WHERE symbol = ANY (%(symbols)s::text[]) AND timeframe = %(timeframe)s::text AND model_name = %(model_name)s::text
    AND as_of BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
    AND (NOT backfilled OR updated_at >= %(backfilled_since)s::timestamptz)
