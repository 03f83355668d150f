"""Back-tests: forecasts of a past period, each from the data known then, and their scores."""
