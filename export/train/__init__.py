"""The old name of the package `training`, kept for one release."""
