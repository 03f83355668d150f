"""What the demo forecasts and how it shows the result; `flows.demo` runs its steps."""
