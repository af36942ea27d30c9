"""Constrained reinforcement learning: Lagrangian PPO for any gymnax environment with discrete actions."""

from retentionjax.rl.config import PPOConfig
from retentionjax.rl.lagrangian import Gains, Multipliers
from retentionjax.rl.networks import Policy, policy_logits
from retentionjax.rl.ppo import (
    Metrics,
    TrainState,
    init,
    make_train,
    policy,
    summarise,
    train_iteration,
    train_iterations,
    values,
)
from retentionjax.rl.sharding import device_mesh

__all__ = [
    "Gains",
    "Metrics",
    "Multipliers",
    "PPOConfig",
    "Policy",
    "TrainState",
    "device_mesh",
    "init",
    "make_train",
    "policy",
    "policy_logits",
    "summarise",
    "train_iteration",
    "train_iterations",
    "values",
]
