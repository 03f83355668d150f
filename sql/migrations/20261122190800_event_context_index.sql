-- Serves "predictions made under an FOMC": event_context -> 'events_active' ? 'fomc'.
-- Partial, because most forecasts are made under no event. Building it blocks writers, never readers.
CREATE INDEX IF NOT EXISTS ml_predictions_events_active
    ON ml_predictions USING gin ((event_context -> 'events_active'))
    WHERE event_context IS NOT NULL;
