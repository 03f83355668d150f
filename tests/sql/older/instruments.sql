-- Only names.
CREATE TABLE instruments (symbol text, name text);
INSERT INTO instruments VALUES ('A', 'Alpha'), ('B', NULL);
