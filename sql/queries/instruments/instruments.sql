-- Every instrument, active or not. model_time_zone is UTC unless set.
SELECT
    symbol, asset_class, calendar, allow_nonpositive, coalesce(model_time_zone, 'UTC') AS model_time_zone, anchor,
    aggregate_from, only_whole_candles, stamp, aliases, currency, tick_size, active
FROM instruments
ORDER BY symbol
