"""Settings of PPO on text."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from retentionjax.checked import Checked, Count, NotNegative, Positive, Share, Within
from retentionjax.language.losses import KLConfig
from retentionjax.language.optimiser import OptimiserConfig

Objective = Literal["ppo", "rloo", "dpo"]


@dataclass(frozen=True)
class SafetyConfig(Checked):
    """The Lagrangian constraint: at most `limit` cost a text on average, priced by λ (Stooke et al. 2020)."""

    limit: Annotated[float, Within(above=True, infinite=True)] = 0.01
    """Cost a text; `inf` switches the constraint off."""
    window: Count = 4
    """Iterations over which the mean cost is taken."""
    initial: NotNegative = 2.0
    """λ at the start, reward a cost."""
    maximum: NotNegative = 100.0
    proportional: NotNegative = 0.5
    """λ per smoothed violation, (cost − limit)/limit within ±violation_clip."""
    integral: NotNegative = 0.2
    """λ gained an iteration and violation."""
    smoothing: float = 0.5
    violation_clip: Positive = 1.0

    def wrong(self) -> list[tuple[str, str]]:
        """A fault if the running mean forgets nothing."""
        wrong = f"{self.smoothing:g}; allowed: 0 up to, not including, 1"
        return [] if 0 <= self.smoothing < 1 else [("smoothing", wrong)]


@dataclass(frozen=True)
class LossConfig:
    """What a minibatch's loss depends on; runs that differ in anything else share its compiled gradient."""

    objective: Objective
    dpo_beta: float
    clip: float
    value_clip: float | None
    value_coef: float
    temperature: float
    remat: bool


@dataclass(frozen=True)
class TextPPOConfig(Checked):
    """Settings of PPO on text. Ziegler et al. 2019, Stiennon et al. 2020 and their published details."""

    objective: Objective = "ppo"
    """What a rollout teaches by: `ppo`; `rloo`, the same clipped ratio with each text's advantage over its prompt's
    other texts instead of the critics' (Ahmadian et al. 2024); `dpo`, the better of a prompt's two texts preferred to
    the worse (Rafailov et al. 2023; on the policy's own texts as Guo et al. 2024). All from the same rewards."""
    dpo_beta: Positive = 0.1
    """β of `dpo`: how sharply a nat of distance from the reference tells the better text from the worse."""
    iterations: Count = 50
    """Rollouts."""
    batch: Count = 32
    """Texts a rollout."""
    copies: Count = 1
    """Texts a prompt among them."""
    minibatch: Count = 8
    """Texts an optimiser step."""
    epochs: Count = 4
    """Passes over a rollout."""
    max_new_tokens: Count = 64
    temperature: Positive = 1.0
    """Temperature of sampling, and of all log-probabilities: old, new and reference."""
    multiple: Count = 16
    """Prompt and text lengths are rounded up to one."""
    gamma: Share = 1.0
    gae_lambda: Share = 0.95
    clip: Positive = 0.2
    value_clip: Positive | None = 0.2
    value_coef: NotNegative = 0.1
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(learning_rate=1e-4, schedule="linear", eps=1e-5)
    )
    """Optimiser of the policy; its schedule runs over iterations."""
    value_learning_rate: Positive = 1e-3
    """Learning rate of the critics, which are linear heads; same schedule."""
    kl: KLConfig = field(default_factory=KLConfig)
    approx_kl_target: Positive | None = 0.02
    """Nats a token an update may move; beyond 1.5 times it the rollout's remaining epochs are skipped. None: never."""
    reference: Literal["start", "base"] = "start"
    """What the policy must stay near: itself at the start (the fine-tuned model), or the base model."""
    reward_weight: float = 1.0
    """Weight of the reward model's score."""
    brevity_weight: float = 0.0
    """Weight of 1 − length/max_new_tokens, added to the score."""
    click_weight: float = 0.0
    """Weight of the click head's score, in standard deviations of its reference messages, where there is one."""
    missing_eos_penalty: float = 1.0
    """What a text that did not end loses of its score."""
    value_head: Literal["reward", "zeros"] = "reward"
    """How the value head begins: as the reward model's, or at zero."""
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    remat: bool = False
    checkpoint_every: Annotated[int, Within()] = 10

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: sizes that do not divide, and rollouts whose texts the objective cannot compare."""
        divisors = [name for name in ("copies", "minibatch") if self.batch % max(1, getattr(self, name))]
        faults = [(name, f"{getattr(self, name)}; allowed: a divisor of batch, {self.batch}") for name in divisors]
        copies = {"ppo": self.copies >= 1, "rloo": self.copies >= 2, "dpo": self.copies == 2}
        if not copies[self.objective]:
            allowed = "2" if self.objective == "dpo" else "at least 2"
            faults.append(("copies", f"{self.copies}; allowed: {allowed} with the objective {self.objective}"))
        if self.objective == "dpo" and self.minibatch % 2:
            faults.append(("minibatch", f"{self.minibatch}; allowed: whole pairs with the objective dpo"))
        return faults

    @property
    def loss(self) -> LossConfig:
        """Loss of one minibatch."""
        return LossConfig(
            self.objective, self.dpo_beta, self.clip, self.value_clip, self.value_coef, self.temperature, self.remat
        )
