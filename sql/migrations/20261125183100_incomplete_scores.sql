-- Scores that lack a close: few of many, looked through at every run for candles that have come since.
CREATE INDEX IF NOT EXISTS prediction_scores_incomplete ON prediction_scores (timeframe, matured_at)
    WHERE last_close IS NULL OR array_position(actual, NULL) IS NOT NULL;
