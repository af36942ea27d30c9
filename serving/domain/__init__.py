"""One folder a feature: `schemas` say what is sent and answered, `controllers` are thin."""
