"""Decisions about a whole table of customers: `retentionjax score`.

`plan` cuts the input into shards and says what belongs together, `scorer` decides a shard and writes it whole or not at
all, `running` has the shards scored here or on a Ray cluster.
"""
