"""The retention campaign as a jittable gymnax environment: one customer, one day a step."""

from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams, EnvState, Population

__all__ = ["EnvParams", "EnvState", "Population", "RetentionEnv"]
