"""Constrained reinforcement learning: Lagrangian PPO for any gymnax environment with discrete actions."""

from retentionjax.rl.config import PPOConfig
from retentionjax.rl.lagrangian import Gains, Multipliers
from retentionjax.rl.networks import PolicyNetwork, policy_logits
from retentionjax.rl.ppo import (
    IterationMetrics,
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
    "IterationMetrics",
    "Multipliers",
    "PPOConfig",
    "PolicyNetwork",
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
