"""A bundle is whole or refused: round trip, every kind of damage, and nothing in it that could execute."""

import dataclasses
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundles
import jax
import numpy as np
import pytest
from etils import epath

from retentionjax import cli
from retentionjax.bundle import FORMAT_VERSION, Bundle, load, with_metrics, write
from retentionjax.bundle.customer import describe
from retentionjax.data.schema import Schema
from retentionjax.decide.facts import Facts, as_frame
from retentionjax.env import EnvParams, record
from retentionjax.errors import BundleError, RetentionJaxError
from retentionjax.evaluation import learned

A_FILE_OF_EACH_KIND = (
    "churn/model.ubj",
    "churn/encoder.json",
    "acceptance/calibrator.json",
    "policy/decide.stablehlo",
    "policy/policy.json",
    "policy/parameters.npz",
)


@pytest.fixture
def copy(bundle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_folder, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], None], *, sign: bool = False) -> None:
    """Changes the manifest; with `sign` its id is made to fit again, as a forger would."""
    path = folder / "manifest.json"
    plain = json.loads(path.read_text())
    change(plain)
    if sign:
        rest = {key: value for key, value in plain.items() if key not in ("id", "format_version")}
        plain["id"] = hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path.write_text(json.dumps(plain))


def test_figures_measured_later_change_the_name_and_no_file(
    bundle_folder: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"uplift_ppo": 5.0, "uplift_ppo_low": 4.0, "uplift_ppo_high": 6.0, "spend_ppo": 2.4}
    for _ in range(2):  # the second time in place of the first
        made = with_metrics(bundle_folder, tmp_path / "measured", {"evaluate": figures})
    measured = load(tmp_path / "measured").manifest
    assert measured.files == bundle.manifest.files
    assert measured.metrics == {**bundle.manifest.metrics, "evaluate": figures}
    assert measured.id == made.id != bundle.manifest.id
    assert cli.main(["evaluate", "--bundle", str(bundle_folder)]) == 0
    assert "holds no evaluation" in capsys.readouterr().out
    assert cli.main(["evaluate", "--bundle", str(tmp_path / "measured")]) == 0
    assert "ppo              uplift over never   +5.00 [+4.00, +6.00]" in capsys.readouterr().out


def test_what_was_written_is_what_is_loaded(bundle: Bundle) -> None:
    made = bundles.contents(bundles.trained())
    records = [bundles.CUSTOMER, bundles.CUSTOMER | {"months": None, "plan": "plus", "channel": "phone"}]
    frame = as_frame(bundle.schema, Facts(bundle.schema).records(records))
    np.testing.assert_array_equal(bundle.churn.predict(frame), made.churn.predict(frame))
    np.testing.assert_array_equal(bundle.acceptance.predict(frame), made.acceptance.predict(frame))
    assert record.to_dict(bundle.params) == record.to_dict(EnvParams())
    assert bundle.manifest.limits == made.limits
    assert list(bundle.offers.items()) == list(made.company.offers.items())
    assert not bundle.manifest.synthetic
    assert bundle.schema.features == ("months", "bill", "age", "plan", "channel")


def test_the_parameters_in_the_bundle_are_those_of_the_policy(copy: Path) -> None:
    loaded = learned.load(load(copy).folder / "policy")
    jax.tree.map(np.testing.assert_array_equal, loaded.policy.parameters, bundles.trained().policy.parameters)
    load(copy)  # reading the parameters leaves the bundle as it was


def test_offers_that_are_not_those_of_the_environment_are_refused(copy: Path) -> None:
    edit(copy, lambda plain: plain["company"]["offers"]["ten"].update(discount=0.2), sign=True)
    with pytest.raises(BundleError, match="discount of the company is"):
        load(copy)
    edit(copy, lambda plain: plain["company"]["offers"]["ten"].update(discount=2.0), sign=True)
    with pytest.raises(BundleError, match=r"offers.*discount"):
        load(copy)


@pytest.mark.parametrize("name", A_FILE_OF_EACH_KIND)
def test_a_changed_byte_in_any_file_is_refused_by_its_name(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name}: changed since it was written"):
        load(copy)


@pytest.mark.parametrize("name", A_FILE_OF_EACH_KIND)
def test_a_missing_or_cut_file_is_refused_by_its_name(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(BundleError, match=f"{name}: [0-9,]+ bytes; manifest.json says"):
        load(copy)
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: no such file"):
        load(copy)


@pytest.mark.parametrize("name", ["extra.py", "policy/decide.py", ".hidden", "language/adapter.safetensors"])
def test_a_file_too_many_is_refused(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("import os")
    with pytest.raises(BundleError, match=f"{name}: not in manifest.json"):
        load(copy)


def test_a_link_is_refused_even_to_the_right_content(copy: Path, bundle_folder: Path) -> None:
    (copy / "churn/model.ubj").unlink()
    (copy / "churn/model.ubj").symlink_to(bundle_folder / "churn/model.ubj")
    with pytest.raises(BundleError, match=r"churn/model\.ubj: a link"):
        load(copy)


def test_a_linked_folder_is_refused_and_a_link_to_the_bundle_is_not(
    copy: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "current").symlink_to(copy)
    assert load(tmp_path / "current").manifest.id
    shutil.rmtree(copy / "churn")
    (copy / "churn").symlink_to(bundle_folder / "churn")
    with pytest.raises(BundleError, match="churn: a link"):
        load(copy)


def test_a_pipe_is_refused_and_not_read(copy: Path) -> None:
    os.mkfifo(copy / "pipe")
    with pytest.raises(BundleError, match="pipe: neither a file nor a folder"):
        load(copy)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "version": (lambda plain: plain.update(format_version=1), "format version 1 is unknown; this program reads 3"),
    "no version": (lambda plain: plain.pop("format_version"), "format version None is unknown"),
    "true is no version": (lambda plain: plain.update(format_version=True), "format version True is unknown"),
    "key": (lambda plain: plain.update(run="x.py"), "unknown key 'run'"),
    "no key": (lambda plain: plain.pop("env"), "the key 'env' is missing"),
    "type": (lambda plain: plain.update(synthetic="no"), "synthetic is a str"),
    "part": (lambda plain: plain["parts"].append("voice"), "the part 'voice' is unknown"),
    "no shield": (lambda plain: plain["parts"].append("language"), "the part 'shield' is missing"),
    "no part": (lambda plain: plain["parts"].remove("policy"), "the part 'policy' is missing"),
    "file": (lambda plain: plain["files"].update({"a": {"bytes": 1}}), "'a': .*wanted: sha256 and bytes"),
    "size": (lambda plain: plain["files"].update({"a": {"bytes": "1", "sha256": "0" * 64}}), "whole number of bytes"),
    "constant": (lambda plain: plain["env"].update(contact_cost=0.0), "changed since it was written"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_manifest_is_refused(copy: Path, name: str) -> None:
    change, message = CHANGES[name]
    edit(copy, change)
    with pytest.raises(BundleError, match=rf"manifest\.json.*{message}"):
        load(copy)


FORGED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "constant": (lambda plain: plain["env"].update(risk_onset=2.0), "risk_onset is 2.0"),
    "unknown constant": (lambda plain: plain["env"].update(gravity=9.8), "gravity: no such constant"),
    "outside": (lambda plain: plain["files"].update({"../x": {"bytes": 1, "sha256": "0" * 64}}), "no such file"),
    "empty part": (lambda plain: plain["parts"].append("shield"), "'shield' is a part but holds no file"),
    "field": (lambda plain: plain["customer"]["fields"].pop("age"), "do not fit the features of the acceptance model"),
    "category": (lambda plain: plain["customer"]["fields"]["plan"].update(allowed=["plus", "basic"]), "churn model"),
    "nullable": (lambda plain: plain["customer"]["fields"]["age"].update(nullable=True), "acceptance model"),
    "no customer": (lambda plain: plain.update(customer={}), "not the description of a customer"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_manifest_forged_with_a_fitting_id_must_still_make_sense(copy: Path, name: str) -> None:
    change, message = FORGED[name]
    edit(copy, change, sign=True)
    with pytest.raises(BundleError, match=message):
        load(copy)


def test_no_bundle_is_an_error_that_says_what_one_is(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder; a bundle is a folder with a manifest"):
        load(tmp_path / "nothing")
    with pytest.raises(BundleError, match="neither a bundle nor a run with one"):
        load(tmp_path)


def test_an_existing_folder_is_replaced_only_when_asked_and_kept_when_writing_fails(copy: Path) -> None:
    with pytest.raises(RetentionJaxError, match="exists already"):
        write(copy, bundles.contents(bundles.trained()))
    broken = dataclasses.replace(bundles.contents(bundles.trained()), limits={"campaign_budget": math.nan})
    with pytest.raises(ValueError, match="JSON"):
        write(copy, broken, replace=True)
    before = load(copy).manifest.id
    write(copy, bundles.contents(bundles.trained(seed=1)), replace=True)
    assert load(copy).manifest.id != before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_schemas_that_cannot_be_one_customer_are_refused() -> None:
    other = dataclasses.replace(bundles.ACCEPTANCE, numeric=("age", "plan"))
    with pytest.raises(BundleError, match="'plan' differs"):
        describe(bundles.CHURN, other)
    with pytest.raises(BundleError, match="'history', a name that bundles reserve"):
        describe(bundles.CHURN, Schema(name="calls", numeric=("history",)))
    with pytest.raises(BundleError, match="names no charge"):
        describe(bundles.ACCEPTANCE, bundles.ACCEPTANCE)
    shared = describe(bundles.CHURN, dataclasses.replace(bundles.CHURN, name="calls", charge=None))
    assert shared["fields"]["plan"]["used_by"] == ["churn", "acceptance"]


def test_inspect_and_verify_on_the_command_line(
    bundle_folder: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bundle", "inspect", str(bundle_folder)]) == 0
    shown = capsys.readouterr().out
    for word in ("phone: real, 400 rows", "months, bill, plan, age, channel", "money spent at most 2.5", "cv_auc 0.8"):
        assert word in shown
    assert f", format {FORMAT_VERSION}, parts" in shown
    assert cli.main(["bundle", "verify", str(bundle_folder)]) == 0
    assert capsys.readouterr().out.startswith(f"OK: {bundle_folder}")
    (copy / "churn/encoder.json").write_text("{}")
    for verb in ("inspect", "verify"):
        assert cli.main(["bundle", verb, str(copy)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert "churn/encoder.json" in err


def test_a_bundle_of_synthetic_data_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = bundles.make(tmp_path / "made", kind="synthetic")
    assert load(made).manifest.synthetic
    cli.main(["bundle", "inspect", str(made)])
    assert "SYNTHETIC DATA" in capsys.readouterr().out


def test_equal_policies_are_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        learned.save(bundles.trained(), epath.Path(tmp_path / name))
    files = ("policy.json", "parameters.npz")
    assert [(tmp_path / "one" / name).read_bytes() for name in files] == [
        (tmp_path / "two" / name).read_bytes() for name in files
    ]


def test_parameters_of_another_size_are_refused_by_their_place(tmp_path: Path) -> None:
    folder = epath.Path(tmp_path)
    learned.save(bundles.trained(), folder)
    (folder / "policy.json").write_text((folder / "policy.json").read_text().replace('"actions": ', '"actions": 1'))
    with pytest.raises(BundleError, match=r"parameters\.npz: actor\.\d\.bias is float32\[\d+\]; by policy\.json it is"):
        learned.load(folder)
    arrays = dict(np.load(folder / "parameters.npz"))
    learned.save(bundles.trained(), folder)
    arrays.pop("critic.0.kernel")
    np.savez(folder / "parameters.npz", **arrays)
    with pytest.raises(BundleError, match=r"critic\.0\.kernel is nothing; by policy\.json it is float32"):
        learned.load(folder)
