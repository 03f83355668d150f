-- Models of which a calibration was learned between two instants, both included. Parameters: timeframe, first and last
-- timestamptz.
SELECT DISTINCT model_name, model_version
FROM prediction_calibration
WHERE timeframe = %(timeframe)s::text AND as_of BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
