-- Compares the closes from which the scores of some symbols were computed with the candles now: those from an instant
-- on, and those of any age that were missing. If a close differs, the new one is stored, and the forecasts with that
-- candle are marked as due. Identifier: table of candles. Parameters: timeframe, symbols text[], since timestamptz.
WITH seen AS (
    SELECT symbol, ts, close, forecasts_from FROM scored_closes
    WHERE timeframe = %(timeframe)s::text AND symbol = ANY (%(symbols)s::text[]) AND ts >= %(since)s::timestamptz
    UNION ALL
    SELECT symbol, ts, close, forecasts_from FROM scored_closes
    WHERE timeframe = %(timeframe)s::text AND symbol = ANY (%(symbols)s::text[]) AND ts < %(since)s::timestamptz
        AND close IS NULL
), compared AS MATERIALIZED (
    SELECT
        symbol, ts, close AS seen_close, forecasts_from,
        -- A probe of the key for each, not a join, which may read the whole table. NaN and infinite closes count as
        -- missing.
        (
            SELECT c.close::float8 FROM {table} AS c
            WHERE c.symbol = seen.symbol AND c.ts = seen.ts
                AND c.close::float8 NOT IN ('NaN', 'Infinity', '-Infinity')
        ) AS close
    FROM seen
), changed AS MATERIALIZED (
    SELECT symbol, ts, forecasts_from, close FROM compared WHERE seen_close IS DISTINCT FROM close
), remembered AS (
    UPDATE scored_closes AS stored
    SET close = changed.close
    FROM changed
    WHERE stored.timeframe = %(timeframe)s::text AND stored.symbol = changed.symbol AND stored.ts = changed.ts
)
UPDATE ml_predictions AS p
SET scored_at = NULL
FROM changed
WHERE p.timeframe = %(timeframe)s::text AND p.symbol = changed.symbol
    AND p.as_of BETWEEN changed.forecasts_from AND changed.ts AND p.timestamps[p.pred_len] >= changed.ts
    AND p.scored_at IS NOT NULL
