"""Parts of the flow backfill: which forecasts are missing, how they are made, and how far a run is."""
