-- Only the rate.
CREATE TABLE central_bank_rates (bank text, decision_time timestamptz, rate numeric);
INSERT INTO central_bank_rates VALUES ('FED', '2022-06-15 18:00+00', 1.75);
