"""The bundles that serve."""
