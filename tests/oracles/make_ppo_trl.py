"""Records tests/oracles/ppo_trl.json: what TRL 1.12.0's PPO makes of a small random batch. Needs torch and trl.

Its arithmetic stands inside `PPOTrainer.train`, so the lines are taken from the installed source, by the comments
around them, and executed on our batch. TRL puts the score one place after the last token (where its padding begins),
so the texts here all fill their row: there both agree on what "last" is.
"""

import inspect
import json
import textwrap
from pathlib import Path
from types import SimpleNamespace

import torch
import trl
from trl.experimental.ppo import ppo_trainer

BATCH, LENGTH = 3, 5
ARGS = SimpleNamespace(
    kl_estimator="k1", kl_coef=0.05, whiten_rewards=False, gamma=0.99, lam=0.95, cliprange=0.2, cliprange_value=0.2
)


def excerpt(first: str, last: str) -> str:
    """Lines of `PPOTrainer.train` from the one that holds `first` to the one that holds `last`."""
    lines = inspect.getsource(ppo_trainer.PPOTrainer.train).splitlines()
    start = next(number for number, line in enumerate(lines) if first in line)
    end = next(number for number, line in enumerate(lines) if number > start and last in line)
    return textwrap.dedent("\n".join(lines[start : end + 1]))


def rounded(tensor: torch.Tensor) -> list:
    return json.loads(json.dumps(tensor.tolist()))


def main() -> None:
    generator = torch.Generator().manual_seed(42)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    given = {
        "log_probs": -torch.rand(BATCH, LENGTH, generator=generator),
        "reference": -torch.rand(BATCH, LENGTH, generator=generator),
        "scores": normal(BATCH),
        "values": normal(BATCH, LENGTH),
        "new_log_probs": -torch.rand(BATCH, LENGTH, generator=generator),
        "new_values": normal(BATCH, LENGTH),
    }
    full = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    last = torch.full((BATCH,), LENGTH - 1)
    space = vars(ppo_trainer) | {
        "args": ARGS,
        "ref_logprobs": given["reference"],
        "logprobs": given["log_probs"],
        "scores": given["scores"],
        "values": given["values"],
        "responses": given["log_probs"],
        "sequence_lengths": last,
        "sequence_lengths_p1": last + 1,
        "padding_mask": full,
        "padding_mask_p1": full,
    }
    exec(excerpt("# 4. compute rewards", "# 5. whiten rewards"), space)
    rewards = space["rewards"].clone()
    exec(excerpt("# 6. compute advantages", "returns = advantages + values"), space)
    advantages = space["advantages"].clone()
    exec(excerpt("advantages = masked_whiten", "advantages = torch.masked_fill"), space)
    space |= {
        "micro_batch_inds": torch.arange(BATCH),
        "vpred": given["new_values"],
        "mb_values": given["values"],
        "mb_return": space["returns"],
        "mb_advantage": space["advantages"],
        "new_logprobs": given["new_log_probs"],
        "mb_logprobs": given["log_probs"],
    }
    exec(excerpt("vpredclipped = torch.clamp", "pg_loss = masked_mean"), space)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    record = {
        "source": f"trl {trl.__version__}, torch {torch.__version__}",
        "settings": vars(ARGS),
        "given": {name: rounded(value) for name, value in given.items()},
        "rewards": rounded(rewards),
        "advantages": rounded(advantages),
        "returns": rounded(space["returns"]),
        "whitened": rounded(space["advantages"]),
        "policy_loss": space["pg_loss"].item(),
        "value_loss": space["vf_loss"].item(),
        "mask": rounded(mask),
        "masked_whitened": rounded(ppo_trainer.masked_whiten(given["values"], mask) * mask),
    }
    path = Path(__file__).with_name("ppo_trl.json")
    path.write_text(json.dumps(record, indent=1) + "\n")


main()
