"""Closing the loop: what the ledger says happened against what the models said would happen.

`measures` makes arrays of the ledger's rows and compares them with what was predicted, `judging` says what follows;
`retentionjax monitor` prints it. README.md beside this file says how a scheduler uses it.
"""
