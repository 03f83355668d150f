-- Marks every scored forecast of some symbols as due. Parameters: timeframe, symbols text[].
UPDATE ml_predictions
SET scored_at = NULL
WHERE timeframe = %(timeframe)s::text AND symbol = ANY (%(symbols)s::text[]) AND scored_at IS NOT NULL
