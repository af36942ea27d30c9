"""Constrained reinforcement learning: Lagrangian PPO for any gymnax environment with discrete actions."""

from retentionjax.rl.config import PPOConfig
from retentionjax.rl.lagrangian import Gains, Multipliers
from retentionjax.rl.networks import Policy, policy_logits
from retentionjax.rl.ppo import (
    Metrics,
    TrainState,
    critic,
    init,
    make_train,
    policy,
    require_sound,
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
    "critic",
    "device_mesh",
    "init",
    "make_train",
    "policy",
    "policy_logits",
    "require_sound",
    "summarise",
    "train_iteration",
    "train_iterations",
    "values",
]
