-- When a release was taken off the schedule, because it was moved or cancelled: python -m flows.load calendar --replace
-- sets it, and clears it where a file has the release again. A forecast as of an earlier instant still sees the row.
ALTER TABLE economic_calendar ADD COLUMN IF NOT EXISTS withdrawn_at timestamptz;
