"""A bundle with a policy that is told the multiplier: written, read, and refused where it is damaged."""

import dataclasses
import json

import bundles
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from retentionjax import cli
from retentionjax.bundle import load, program, write
from retentionjax.bundle.program import ANY_BUDGET, MULTIPLIERS, read_any_budget, write_any_budget
from retentionjax.env import EnvParams, actions, observation
from retentionjax.errors import BundleError, ConfigError

PARAMS = EnvParams()
TABLE, decide = bundles.MULTIPLIERS, bundles.decide_at


@pytest.fixture(scope="module")
def any_budget(tmp_path_factory):
    folder = tmp_path_factory.mktemp("any") / "bundle"
    write(folder, dataclasses.replace(bundles.contents(bundles.trained()), any_budget=(decide, TABLE)))
    return folder


def test_a_budget_gets_its_multiplier_and_its_own_name(any_budget):
    bundle = load(any_budget)
    seen, masks = np.zeros((3, observation.size(4)), np.float32), np.ones((3, actions.count(PARAMS)), bool)
    generous, tight = bundle.at_budget(4.0), bundle.at_budget(1.5)
    assert tight.manifest.multipliers["campaign_budget"] == pytest.approx(1.5)
    assert tight.manifest.limits == {**bundle.manifest.limits, "campaign_budget": 1.5}
    assert len({each.manifest.id for each in (bundle, generous, tight)}) == 3
    assert tight.manifest.id == load(any_budget).at_budget(1.5).manifest.id
    for each, multiplier in ((generous, 0.5), (tight, 1.5)):
        propensities, values = each.decide(seen, masks)
        expected, _ = decide(seen, jnp.asarray(masks), jnp.full(3, multiplier))
        np.testing.assert_allclose(propensities, expected, atol=1e-6)
        np.testing.assert_allclose(values, multiplier, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"budget is 0.5; allowed: at least 1.00"):
        bundle.at_budget(0.5)


def test_a_bundle_without_the_part_says_so(bundle):
    assert bundle.any_budget is None
    with pytest.raises(BundleError, match="no policy for other budgets"):
        bundle.at_budget(1.0)


def test_the_command_line_takes_a_budget(any_budget, tmp_path, capsys):
    customer = tmp_path / "customer.json"
    customer.write_text(json.dumps(bundles.CUSTOMER))
    arguments = ["decide", "--bundle", str(any_budget), "--customer", str(customer), "--json"]
    assert cli.main([*arguments, "--budget", "1.5"]) == 0
    assert json.loads(capsys.readouterr().out)["explanation"]["multiplier"] == pytest.approx(1.5)
    assert cli.main([*arguments, "--budget", "0.1"]) == 2
    assert "allowed: at least" in capsys.readouterr().err


def test_half_the_part_and_a_damaged_table_are_refused(tmp_path):
    folder = epath.Path(tmp_path)
    write_any_budget(folder, decide, TABLE, PARAMS)
    both = {ANY_BUDGET: None, MULTIPLIERS: None}
    assert read_any_budget(folder, both, PARAMS).multipliers == TABLE
    assert read_any_budget(folder, {}, PARAMS) is None
    for name in both:
        with pytest.raises(BundleError, match="one is of no use alone"):
            read_any_budget(folder, {name: None}, PARAMS)
    for plain, message in (
        ({"multiplier": [1, 2]}, "not a table of multipliers"),
        ({"multiplier": [1, "2"], "spend": [2, 1], "uplift": [2, 1]}, "lists of numbers"),
        ({"multiplier": [2, 1], "spend": [2, 1], "uplift": [2, 1]}, "multipliers must rise"),
    ):
        (folder / MULTIPLIERS).write_text(json.dumps(plain))
        with pytest.raises(BundleError, match=message):
            read_any_budget(folder, both, PARAMS)


def test_a_program_without_a_multiplier_is_not_taken_for_one_with():
    plain = program.build(lambda seen, masks: decide(seen, masks, jnp.ones(seen.shape[0])), PARAMS)
    with pytest.raises(BundleError, match="another policy's"):
        program.load_conditioned(plain, PARAMS, "here")
    with pytest.raises(BundleError, match="another policy's"):
        program.load(program.build(decide, PARAMS, conditioned=True), PARAMS, "here")
