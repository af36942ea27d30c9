"""Calibrated gradient boosting on tables, the same ensemble as a JAX function, and honest measures of both."""
