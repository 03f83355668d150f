"""What ``python -m flows.deploy`` installs on a Prefect server: work pool, deployments, automations."""
