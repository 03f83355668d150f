-- currency: in which prices are given, such as 'USD' or 'USDT'. tick_size: smallest step of a price. NULL: unknown.
ALTER TABLE instruments
    ADD COLUMN IF NOT EXISTS currency text,
    ADD COLUMN IF NOT EXISTS tick_size float8 CHECK (tick_size > 0);
