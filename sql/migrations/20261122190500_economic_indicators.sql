-- FRED series such as VIXCLS. known_on is the first date on which the value was public; a revision is a new row.
CREATE TABLE IF NOT EXISTS economic_indicators (
    series_id text NOT NULL,
    date date NOT NULL,
    value float8,
    known_on date NOT NULL,
    source text,
    PRIMARY KEY (series_id, date, known_on)
);

-- Nullable for rows that were here before: the query counts those as known on the next business day.
ALTER TABLE economic_indicators
    ADD COLUMN IF NOT EXISTS known_on date,
    ADD COLUMN IF NOT EXISTS source text;
