-- model_time_zone: the clock from which the model's five time fields of a symbol's candles are read, an IANA name such
-- as 'Asia/Shanghai'; NULL is UTC, as for all rows of before.
ALTER TABLE instruments ADD COLUMN IF NOT EXISTS model_time_zone text;
