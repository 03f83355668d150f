-- One instrument. Parameters: symbol, asset_class, calendar, allow_nonpositive, model_time_zone, active, anchor,
-- aggregate_from, only_whole_candles, stamp, aliases, currency, tick_size. NULL in any but the first three means false
-- (active: true), UTC, open or none for a new row, and leaves a stored one unchanged. Returns a row if it wrote one.
INSERT INTO instruments AS stored (
    symbol, asset_class, calendar, allow_nonpositive, model_time_zone, active, anchor, aggregate_from,
    only_whole_candles, stamp, aliases, currency, tick_size
)
VALUES (
    %(symbol)s, %(asset_class)s, %(calendar)s, coalesce(%(allow_nonpositive)s::boolean, false),
    %(model_time_zone)s::text, coalesce(%(active)s::boolean, true), %(anchor)s::text, %(aggregate_from)s::text,
    coalesce(%(only_whole_candles)s::boolean, false), coalesce(%(stamp)s::text, 'open'),
    coalesce(%(aliases)s::text[], '{}'), %(currency)s::text, %(tick_size)s::float8
)
ON CONFLICT (symbol) DO UPDATE SET
    asset_class = excluded.asset_class,
    calendar = excluded.calendar,
    allow_nonpositive = coalesce(%(allow_nonpositive)s::boolean, stored.allow_nonpositive),
    model_time_zone = coalesce(excluded.model_time_zone, stored.model_time_zone),
    active = coalesce(%(active)s::boolean, stored.active),
    anchor = coalesce(excluded.anchor, stored.anchor),
    aggregate_from = coalesce(excluded.aggregate_from, stored.aggregate_from),
    only_whole_candles = coalesce(%(only_whole_candles)s::boolean, stored.only_whole_candles),
    stamp = coalesce(%(stamp)s::text, stored.stamp),
    aliases = coalesce(%(aliases)s::text[], stored.aliases),
    currency = coalesce(excluded.currency, stored.currency),
    tick_size = coalesce(excluded.tick_size, stored.tick_size)
WHERE (
    stored.asset_class, stored.calendar, stored.allow_nonpositive, stored.model_time_zone, stored.active,
    stored.anchor, stored.aggregate_from, stored.only_whole_candles, stored.stamp, stored.aliases, stored.currency,
    stored.tick_size
)
    IS DISTINCT FROM (
        excluded.asset_class, excluded.calendar,
        coalesce(%(allow_nonpositive)s::boolean, stored.allow_nonpositive),
        coalesce(excluded.model_time_zone, stored.model_time_zone),
        coalesce(%(active)s::boolean, stored.active),
        coalesce(excluded.anchor, stored.anchor),
        coalesce(excluded.aggregate_from, stored.aggregate_from),
        coalesce(%(only_whole_candles)s::boolean, stored.only_whole_candles),
        coalesce(%(stamp)s::text, stored.stamp),
        coalesce(%(aliases)s::text[], stored.aliases),
        coalesce(excluded.currency, stored.currency),
        coalesce(excluded.tick_size, stored.tick_size)
    )
RETURNING stored.xmax = 0 AS inserted
