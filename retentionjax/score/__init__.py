"""Decisions about a whole table of customers: `retentionjax score`.

`plan` cuts the input into shards and says what belongs together, `encoding` turns columns into the models' numbers,
`scorer` decides a shard and writes it whole or not at all, `engines` runs the shards here or on a Ray cluster.
"""
