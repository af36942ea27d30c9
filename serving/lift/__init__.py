"""What a campaign changed: its customers against those whom it held out, as the ledger knows them.

`measuring` makes arrays of the ledger's rows and measures, `believing` says what the bundle's effects promised, and
`telling` puts both into words and a picture. The statistics are `retentionjax.evaluation.lift`.
"""
