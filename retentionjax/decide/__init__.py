"""The decision: contact or wait, with which offer, when, and why; one program for one customer and for millions.

`decision.decide(program.Decider(bundle), customer)` gives a Decision; `retentionjax decide` prints it.
"""
