-- No known_on.
CREATE TABLE economic_indicators (series_id text, date date, value numeric, PRIMARY KEY (series_id, date));
INSERT INTO economic_indicators VALUES ('VIXCLS', '2024-01-02', 13.2);
