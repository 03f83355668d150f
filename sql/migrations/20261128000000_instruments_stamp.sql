-- stamp: whether the files and feeds of a symbol stamp a candle with its open or with its close. The candle tables have the
-- opens: the loader moves candles that are stamped with their close.
ALTER TABLE instruments
    ADD COLUMN IF NOT EXISTS stamp text NOT NULL DEFAULT 'open' CHECK (stamp IN ('open', 'close'));
