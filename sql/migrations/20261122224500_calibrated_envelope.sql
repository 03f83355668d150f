-- p10_calibrated, p90_calibrated: the envelope after calibration, beside the raw one; NULL until one is learned.
-- samples: close of every sample path (sample_count × pred_len), only where the flow is told to store them.
ALTER TABLE ml_predictions
    ADD COLUMN IF NOT EXISTS p10_calibrated float8[],
    ADD COLUMN IF NOT EXISTS p90_calibrated float8[],
    ADD COLUMN IF NOT EXISTS samples real[];
