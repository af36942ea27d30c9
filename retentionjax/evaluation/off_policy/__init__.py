"""Off-policy evaluation: what a policy would have been worth, from the log of another one that acted by propensities.

A log (`log.DecisionLog`) is a table of decisions with the propensity of every action; decisions about one customer in
one campaign form an episode, and a contextual decision is an episode of one. `evaluation.evaluate(log, target)` checks
support and overlap and gives six estimates, those without bias with intervals; it refuses, by `OverlapError`, where
the log cannot answer.
"""
