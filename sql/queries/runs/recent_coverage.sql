-- Coverage of the forecasts that matured in the last week, as the last scoring run computed it.
SELECT timeframe, asset_class, model_name, closes, covered, closes_calibrated, covered_calibrated
FROM recent_coverage
ORDER BY timeframe, asset_class, model_name
