"""A further average limit is one line of `env.constraints`: everything else is sized by its names."""

import subprocess
import sys
from pathlib import Path

import pytest

LINE = '    "accepted": Cost(0.05, "Offers taken up", lambda day: day.accepted),\n'
SIZED = f"""
import importlib.util, sys
from pathlib import Path

spec = importlib.util.find_spec("retentionjax.env.constraints")
source = Path(spec.origin).read_text()
assert source.count("}}\\nNAMES") == 1
sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
exec(compile(source.replace("}}\\nNAMES", {LINE!r} + "}}\\nNAMES"), spec.origin, "exec"), module.__dict__)

import jax, msgspec
from etils import epath
from experiments import policy as stage
from retentionjax import rl
from retentionjax.env import EnvParams, RetentionEnv
from retentionjax.env.value import with_potential
from retentionjax.evaluation import learned
from serving.domain.decisions.schemas import ExpectedOut

small = stage.campaign_settings(num_envs=8, num_minibatches=1, num_epochs=1, hidden=(4,))
config = stage.PolicyConfig(ppo=small, limits={{"contact": 3.0}}).training
assert config.limits == (2.4, 3.0, 0.0, 0.0, 0.05)
env, params = RetentionEnv(expected_churn=True, shaping=True), with_potential(EnvParams())
init = lambda key: rl.init(env, params, config, key)
sized = jax.eval_shape(init, jax.random.key(0))
assert sized.multipliers.value.shape == (5,) and jax.eval_shape(rl.critic, sized)[-1].bias.shape == (6,)
expected = ExpectedOut(uplift=1.0, campaign_budget=1.0, contact=1.0, cooldown=0.0, fatigue=0.0, accepted=0.1)
assert msgspec.to_builtins(expected)["accepted"] == 0.1
"""
TRAINED = """
state = jax.jit(init)(jax.random.key(0))
state, metrics = jax.jit(lambda state: rl.train_iteration(env, params, config, state))(state)
line = stage.named(rl.summarise(metrics))
assert line["cost_accepted"] > 0.05 and line["multiplier_accepted"] > 0, line
trained = learned.Trained(learned.ppo(rl.policy(config, state)), rl.critic(state))
learned.save(trained, epath.Path(sys.argv[1]))
assert learned.load(epath.Path(sys.argv[1])).critic[-1].bias.shape == (6,)
"""


def test_by_one_line_of_an_average_limit_all_is_sized() -> None:
    """Settings, multipliers, critics and what the service expects, all imported anew beside that line."""
    packages = ("retentionjax", "experiments", "serving")
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in packages}
    checks = [finder for finder in sys.meta_path if type(finder).__module__.startswith("jaxtyping")]
    for name in ours:
        del sys.modules[name]
    for finder in checks:  # of the others; here they would take most of the time
        sys.meta_path.remove(finder)
    try:
        exec(SIZED, {})
    finally:
        sys.meta_path[:0] = checks
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            del sys.modules[name]
        sys.modules.update(ours)


@pytest.mark.slow
def test_adding_an_average_limit_is_one_line(tmp_path: Path) -> None:
    """All is sized by it, and it is trained under, saved and loaded."""
    given = str(tmp_path / "policy")
    done = subprocess.run([sys.executable, "-c", SIZED + TRAINED, given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
