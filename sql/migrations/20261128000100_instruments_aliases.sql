-- aliases: other names of a symbol, as data providers have them; files of candles and requests may use them. No alias is
-- the symbol or an alias of another row: `python -m flows.load instruments` refuses it.
ALTER TABLE instruments ADD COLUMN IF NOT EXISTS aliases text[] NOT NULL DEFAULT '{}';
