-- How many forecasts of a model matured in a span, by symbol. Parameters: timeframe, model_name, model_version,
-- matured_after (excluded) and matured_by (included) timestamptz.
SELECT symbol, count(*)
FROM prediction_scores
WHERE timeframe = %(timeframe)s::text AND model_name = %(model_name)s::text AND model_version = %(model_version)s::text
    AND matured_at > %(matured_after)s::timestamptz AND matured_at <= %(matured_by)s::timestamptz
GROUP BY symbol
