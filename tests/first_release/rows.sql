-- Rows in every table of version 0.1.0, as its loader and its flows write them.
INSERT INTO instruments (symbol, asset_class, calendar, active) VALUES
    ('BTC-USD', 'crypto', '24/7', true), ('EURUSD', 'fx', 'FX', false), ('ACME', 'equity', 'XNYS', true);

INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close, volume, amount)
SELECT 'BTC-USD', '2024-01-01 00:00+00'::timestamptz + i * interval '1 hour', c, c * 1.01, c * 0.99, c,
    CASE WHEN i % 7 = 0 THEN NULL ELSE i + 0.1 END, CASE WHEN i % 5 = 0 THEN NULL ELSE (i + 0.1) * c END
FROM (SELECT i, 42000 + 37.3 * sin(i / 3.0) AS c FROM generate_series(0, 59) AS i) AS walk;

INSERT INTO ohlcv_1d (symbol, ts, open, high, low, close) VALUES
    ('ACME', '2024-01-02 00:00+00', 10.1, 10.3, 10.0, 0.1 + 0.2),
    ('ACME', '2024-01-03 00:00+00', 10.2, 10.4, 10.1, 10.3);

INSERT INTO economic_calendar (
    event_time, time_known, scheduled, country, currency, symbol, event_type, title, impact, actual, forecast,
    previous, hawkish_score, source
) VALUES
    ('2024-01-02 15:00+00', true, true, 'US', 'USD', NULL, 'cpi', 'CPI m/m', 'high', 0.3, 0.2, 0.1, NULL, 'file'),
    ('2024-01-31 19:00+00', true, true, 'US', 'USD', NULL, 'fomc', 'FOMC statement', 'high', NULL, NULL, NULL, 0.5, NULL),
    ('2024-02-01 00:00+00', false, true, NULL, NULL, 'ACME', 'earnings', 'ACME results', NULL, NULL, NULL, NULL, NULL, NULL);

INSERT INTO central_bank_rates (bank, decision_time, rate, previous, forecast, source) VALUES
    ('FED', '2023-12-13 19:00+00', 5.5, 5.5, 5.5, 'file'), ('ECB', '2023-12-14 13:15+00', 4.5, 4.5, NULL, NULL);

INSERT INTO economic_indicators (series_id, date, value, known_on, source) VALUES
    ('VIXCLS', '2024-01-02', 13.2, '2024-01-03', 'FRED'), ('VIXCLS', '2024-01-03', NULL, '2024-01-04', NULL);

-- The first is scored, the second can be scored now; the third has none of the columns that may be NULL.
INSERT INTO ml_predictions (
    symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps, p10, p50, p90, seed, created_at,
    updated_at, event_context, p10_calibrated, p90_calibrated, samples
) VALUES
    ('BTC-USD', '1h', '2024-01-01 10:00+00', 'kronos-demo', '0123456789ab', 2,
        '{2024-01-01 11:00+00,2024-01-01 12:00+00}', '{41999.5,41999.25}', '{42000,42000.1}', '{42001,42001.3}',
        9007199254740991, '2024-01-01 11:05+00', '2024-01-01 11:06+00',
        '{"events_active": ["cpi"], "surprise_directions": {"cpi": "hot"}}', '{41990,41989}', '{42010,42011}', NULL),
    ('BTC-USD', '1h', '2024-01-01 20:00+00', 'kronos-demo', '0123456789ab', 2,
        '{2024-01-01 21:00+00,2024-01-01 22:00+00}', '{41900,41900}', '{42000,42000}', '{42100,42100}', 7,
        '2024-01-01 21:05+00', '2024-01-01 21:05+00', NULL, NULL, NULL, '{{41950,41960},{42040,42050}}');
INSERT INTO ml_predictions (symbol, timeframe, as_of, model_name, pred_len, timestamps, p10, p50, p90, updated_at)
VALUES ('ACME', '1d', '2024-01-03 00:00+00', 'kronos-demo', 1, '{2024-01-04 00:00+00}', '{10}', '{10.3}', '{10.6}', NULL);

INSERT INTO prediction_inputs (
    symbol, timeframe, as_of, model_name, lookback, sample_count, temperature, top_k, top_p, event_schema, events
) VALUES
    ('BTC-USD', '1h', '2024-01-01 10:00+00', 'kronos-demo', 32, 20, 1, 0, 1, 1, decode('00000000cdcccc3d', 'hex')),
    ('ACME', '1d', '2024-01-03 00:00+00', 'kronos-demo', 32, 20, 1, 0, 1, NULL, NULL);

INSERT INTO prediction_scores (
    symbol, timeframe, as_of, model_name, model_version, pred_len, matured_at, last_close, actual, covered,
    covered_calibrated, pinball, abs_error, direction_hit, crps, events_active, step_events, event_day,
    forecast_updated_at
)
SELECT 'BTC-USD', '1h', '2024-01-01 10:00+00', 'kronos-demo', '0123456789ab', 2, '2024-01-01 13:00+00',
    max(close) FILTER (WHERE ts = '2024-01-01 10:00+00'),
    array_agg(close ORDER BY ts) FILTER (WHERE ts > '2024-01-01 10:00+00'),
    '{t,f}', '{t,t}', '{0.1,0.25}', '{0.3,1.7}', '{t,f}', NULL, '{cpi}', '{"",""}', '{f,f}', '2024-01-01 11:06+00'
FROM ohlcv_1h WHERE ts BETWEEN '2024-01-01 10:00+00' AND '2024-01-01 12:00+00';

INSERT INTO prediction_calibration (
    timeframe, model_name, model_version, asset_class, as_of, low, high, counts
) VALUES ('1h', 'kronos-demo', '0123456789ab', 'crypto', '2024-01-01 13:00+00', '{0.1,NULL}', '{0.2,NULL}', '{60,12}');
