"""What a campaign changed: its customers against those whom it held out, as the ledger knows them.

`measuring` makes arrays of the ledger's rows, measures, and says what the bundle's effects promised; `answer` puts both
into words. The statistics are `retentionjax.evaluation.lift`.
"""
