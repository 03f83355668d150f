-- Every instrument, active or not.
SELECT symbol, asset_class, calendar, allow_nonpositive, active
FROM instruments
ORDER BY symbol
