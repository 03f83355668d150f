"""What every flow runs with: settings, time limits, retries, and the way to the database and the server."""
