-- Every instrument, active or not.
SELECT symbol, asset_class, calendar, active
FROM instruments
ORDER BY symbol
