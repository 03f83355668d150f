-- One instrument. Parameters: symbol, asset_class, calendar, allow_nonpositive, model_time_zone, active. NULL in the
-- last three means false, UTC and true for a new row, and leaves a stored one unchanged. Returns a row if it wrote one.
INSERT INTO instruments AS stored (symbol, asset_class, calendar, allow_nonpositive, model_time_zone, active)
VALUES (
    %(symbol)s, %(asset_class)s, %(calendar)s, coalesce(%(allow_nonpositive)s::boolean, false),
    %(model_time_zone)s::text, coalesce(%(active)s::boolean, true)
)
ON CONFLICT (symbol) DO UPDATE SET
    asset_class = excluded.asset_class,
    calendar = excluded.calendar,
    allow_nonpositive = coalesce(%(allow_nonpositive)s::boolean, stored.allow_nonpositive),
    model_time_zone = coalesce(excluded.model_time_zone, stored.model_time_zone),
    active = coalesce(%(active)s::boolean, stored.active)
WHERE (stored.asset_class, stored.calendar, stored.allow_nonpositive, stored.model_time_zone, stored.active)
    IS DISTINCT FROM (
        excluded.asset_class, excluded.calendar,
        coalesce(%(allow_nonpositive)s::boolean, stored.allow_nonpositive),
        coalesce(excluded.model_time_zone, stored.model_time_zone),
        coalesce(%(active)s::boolean, stored.active)
    )
RETURNING stored.xmax = 0 AS inserted
