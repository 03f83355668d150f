-- No scheduled, time_known, country, symbol, hawkish_score, source; numeric figures.
CREATE TABLE economic_calendar (
    id serial PRIMARY KEY, event_time timestamptz, event_type text, title text, currency text, impact text,
    actual numeric, forecast numeric, previous numeric
);
INSERT INTO economic_calendar (event_time, event_type, title, currency, actual) VALUES
    ('2022-06-10 12:30+00', 'cpi', 'CPI m/m', 'USD', 1.0),
    ('2022-06-10 12:30+00', 'cpi', 'CPI y/y', NULL, NULL);
