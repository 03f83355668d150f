-- Delete the coverage of a timeframe before it is computed again. Parameter: timeframe.
DELETE FROM recent_coverage WHERE timeframe = %(timeframe)s::text
