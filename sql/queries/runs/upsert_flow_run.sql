-- The last run of a deployment, flow and timeframe; a run that failed keeps the time of the last success. Parameters:
-- all columns of flow_runs, succeeded_at NULL where the run did not complete.
INSERT INTO flow_runs AS stored (
    deployment, flow, timeframe, started_at, ended_at, state, succeeded_at, counts, without_events
)
VALUES (
    %(deployment)s, %(flow)s, %(timeframe)s, %(started_at)s, %(ended_at)s, %(state)s, %(succeeded_at)s, %(counts)s,
    %(without_events)s
)
ON CONFLICT (deployment, flow, timeframe) DO UPDATE SET
    started_at = excluded.started_at,
    ended_at = excluded.ended_at,
    state = excluded.state,
    succeeded_at = coalesce(excluded.succeeded_at, stored.succeeded_at),
    counts = excluded.counts,
    without_events = excluded.without_events
