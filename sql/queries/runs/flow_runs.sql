-- The last run of each deployment, flow and timeframe.
SELECT deployment, flow, timeframe, started_at, ended_at, state, succeeded_at, counts, without_events
FROM flow_runs
ORDER BY deployment, flow, timeframe
