-- statistics: what a run asked of the sample paths beside the envelope (quantiles, probabilities of prices, realised
-- volatility), as /predict answers it and docs/statistics.md defines it; NULL where it asked for nothing. Rows written
-- before keep NULL, and readers of the other columns see no change.
ALTER TABLE ml_predictions ADD COLUMN IF NOT EXISTS statistics jsonb;
