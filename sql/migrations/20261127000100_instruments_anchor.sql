-- anchor: time of day and IANA zone from which intraday candles are counted, such as '00:00 UTC'; NULL for the calendar's
-- own. aggregate_from: timeframe from which candles are aggregated where a timeframe has none of the symbol; NULL for the
-- coarsest one that has any. only_whole_candles: whether aggregated candles with missing parts are left out.
ALTER TABLE instruments
    ADD COLUMN IF NOT EXISTS anchor text,
    ADD COLUMN IF NOT EXISTS aggregate_from text,
    ADD COLUMN IF NOT EXISTS only_whole_candles boolean NOT NULL DEFAULT false;
