-- Whether prices of zero and below are possible, as of oil in April 2020 or of a spread; else they are feed errors.
ALTER TABLE instruments ADD COLUMN IF NOT EXISTS allow_nonpositive boolean NOT NULL DEFAULT false;
