-- What a symbol is and when it trades. calendar is '24/7', 'FX' or a name of exchange_calendars such as 'XNYS'.
CREATE TABLE IF NOT EXISTS instruments (
    symbol text PRIMARY KEY,
    asset_class text NOT NULL
        CHECK (asset_class IN ('crypto', 'fx', 'metal', 'equity', 'index', 'commodity')),
    calendar text NOT NULL,
    active boolean NOT NULL DEFAULT true
);

ALTER TABLE instruments
    ADD COLUMN IF NOT EXISTS asset_class text,
    ADD COLUMN IF NOT EXISTS calendar text,
    ADD COLUMN IF NOT EXISTS active boolean NOT NULL DEFAULT true;
