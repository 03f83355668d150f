-- The forecasts whose sample paths are stored, by the open of their last candle: few of many, and retention reads them
-- from here. Building it blocks writers, never readers. On a table of many million rows build it before, which blocks
-- nobody: CREATE INDEX CONCURRENTLY IF NOT EXISTS with the same name and columns.
CREATE INDEX IF NOT EXISTS ml_predictions_samples ON ml_predictions (timeframe, (timestamps[pred_len]))
    WHERE samples IS NOT NULL;
