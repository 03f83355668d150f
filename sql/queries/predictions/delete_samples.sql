-- Deletes the sample paths of forecasts that are scored and matured before an instant; the forecasts and their scores
-- stay. Parameters: timeframe, matured_before timestamptz.
UPDATE ml_predictions AS p
SET samples = NULL
FROM prediction_scores AS s
WHERE p.samples IS NOT NULL
    AND p.symbol = s.symbol AND p.timeframe = s.timeframe AND p.as_of = s.as_of AND p.model_name = s.model_name
    AND s.timeframe = %(timeframe)s::text AND s.matured_at < %(matured_before)s::timestamptz
