-- warnings: what was reported of a forecast, each beginning with a code of docs/warnings.md; NULL where nothing was.
-- fingerprint: a hash of what a forecast follows from (candles, events, settings, bundle, calibration), by which a run
-- knows the row that it would write again; NULL where the forecast is always to be made again.
ALTER TABLE ml_predictions
    ADD COLUMN IF NOT EXISTS warnings text[],
    ADD COLUMN IF NOT EXISTS fingerprint text;
