-- Compares the releases from which scores were computed with those of the calendar now, day by day. If a day differs,
-- its releases are stored, and the forecasts around it that matured after an instant are marked as due. Parameters:
-- timeframe, recheck_from timestamptz, margin interval, from_day date (days before it are deleted); and the days with
-- calendar rows: symbols text[], days date[], releases text[] of equal length.
WITH now AS (
    SELECT symbol, day, releases
    FROM unnest(%(symbols)s::text[], %(days)s::date[], %(releases)s::text[]) AS given (symbol, day, releases)
), changed AS (
    SELECT symbol, day, now.releases
    FROM now
    FULL JOIN (
        SELECT symbol, day, releases FROM scored_releases
        WHERE timeframe = %(timeframe)s::text AND day >= %(from_day)s::date
    ) AS seen USING (symbol, day)
    WHERE now.releases IS DISTINCT FROM seen.releases
), remembered AS (
    INSERT INTO scored_releases AS stored (timeframe, symbol, day, releases)
    SELECT %(timeframe)s::text, symbol, day, releases FROM changed WHERE releases IS NOT NULL
    ON CONFLICT (timeframe, symbol, day) DO UPDATE SET releases = excluded.releases
), forgotten AS (
    DELETE FROM scored_releases AS stored
    WHERE timeframe = %(timeframe)s::text
        AND (
            day < %(from_day)s::date
            OR (symbol, day) IN (SELECT changed.symbol, changed.day FROM changed WHERE changed.releases IS NULL)
        )
), around AS (
    SELECT symbol, day - %(margin)s::interval AS first, day + interval '1 day' + %(margin)s::interval AS last FROM changed
)
UPDATE ml_predictions AS p
SET scored_at = NULL
FROM prediction_scores AS s
WHERE s.timeframe = %(timeframe)s::text AND s.matured_at > %(recheck_from)s::timestamptz
    AND EXISTS (
        SELECT FROM around
        WHERE around.symbol IN ('', s.symbol) AND s.as_of < around.last AND s.matured_at > around.first
    )
    AND p.symbol = s.symbol AND p.timeframe = s.timeframe AND p.as_of = s.as_of AND p.model_name = s.model_name
    AND p.scored_at IS NOT NULL
