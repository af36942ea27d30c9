"""Runs of all stages on another machine or this one: what is to be run and its price, Vertex AI, supervision."""
