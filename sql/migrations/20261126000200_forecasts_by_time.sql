-- For questions about the forecasts of a time, whatever their symbol: 40 kB for 2.4 million rows. Rows are written about in
-- the order of these columns; those of a backfill are not, and are read besides. Building them blocks writers, never
-- readers: build them before on a table of many million rows, as the index on forecasts with samples.
CREATE INDEX IF NOT EXISTS ml_predictions_created_at ON ml_predictions USING brin (created_at) WITH (autosummarize = on);
CREATE INDEX IF NOT EXISTS ml_predictions_as_of ON ml_predictions USING brin (as_of) WITH (autosummarize = on);
