-- No seed, updated_at and event_context, and only a serial number as key.
CREATE TABLE ml_predictions (
    id bigserial PRIMARY KEY, symbol text, timeframe text, as_of timestamptz, model_name text, model_version text,
    pred_len int, timestamps timestamptz[], p10 float8[], p50 float8[], p90 float8[],
    created_at timestamptz DEFAULT now()
);
INSERT INTO ml_predictions (
    symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps, p10, p50, p90
)
SELECT 'S' || i, '1d', '2024-01-01', 'kronos-base', '1', 1, ARRAY['2024-01-02'::timestamptz], '{1}', '{2}', '{3}'
FROM generate_series(1, 500) AS i;
