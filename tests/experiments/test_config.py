"""Presets and flags: every key is known, typed and in range, or the error says which is not and what is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from experiments import config as configuration
from experiments.config import Options, in_range, load_preset, parse
from retentionjax.company.structure import structure, unstructure
from retentionjax.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    learning_rate: float = 3e-4
    hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        in_range("learning_rate", self.learning_rate, 0, 1, open_low=True)


@dataclass(frozen=True)
class Outer:
    ppo: Inner = Inner()
    steps: int = 10
    offers: tuple[float, float] = (0.0, 0.1)
    activation: Literal["tanh", "relu"] = "tanh"
    normalise: bool = True
    limit: float | None = None
    gates: Mapping[str, float] = field(default_factory=dict)
    gain: Any = 0.2


@dataclass(frozen=True)
class Needy:
    seed: int


def preset_file(folder: Path, content: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def parsed(folder: Path, content: Any, *flags: str) -> tuple[Options, Outer]:
    preset = preset_file(folder, content)
    _, options, configs = parse("prog", "about", {"policy": Outer}, [preset, *flags], flat=True)
    return options, configs["policy"]


def test_every_preset_of_the_project_loads() -> None:
    for name in configuration.PRESETS:
        assert load_preset(name).name == name


def test_what_a_preset_leaves_out_is_the_default(tmp_path: Path) -> None:
    options, config = parsed(tmp_path, {"policy": {"ppo": {"hidden": [8]}}})
    assert config == Outer(ppo=Inner(hidden=(8,)))
    assert options == Options()


@dataclass(frozen=True)
class Stage:
    training: Outer = Outer(ppo=Inner(0.5, (8, 8)), steps=3)


def test_a_nested_mapping_changes_only_what_it_names() -> None:
    assert structure({"training": {"ppo": {"hidden": [4]}}}, Stage) == Stage(Outer(ppo=Inner(0.5, (4,)), steps=3))
    assert structure({"training": {"steps": 7}}, Stage).training.ppo == Inner(0.5, (8, 8))
    assert structure({"training": {}}, Stage) == Stage()


def test_a_flag_beats_the_preset_and_the_preset_the_default(tmp_path: Path) -> None:
    content = {"policy": {"steps": 20, "ppo": {"learning_rate": 0.5}}}
    flags = ["--ppo.learning-rate", "1e-3", "--no-normalise", "--name", "myrun", "--data", "synthetic", "--resume"]
    options, config = parsed(tmp_path, content, *flags)
    assert config == Outer(ppo=Inner(learning_rate=1e-3), steps=20, normalise=False)
    assert options == Options(name="myrun", data="synthetic", resume=True)


def test_stages_of_the_pipeline_are_overridden_under_their_names_beside_options_of_the_same_name(
    tmp_path: Path,
) -> None:
    kinds: dict[str, type] = {"bundle": Inner, "policy": Outer}
    flags = [
        preset_file(tmp_path, {}),
        "--data",
        "real",
        "--bundle.learning-rate",
        "0.25",
        "--policy.ppo.learning-rate",
        "0.5",
    ]
    _, options, configs = parse("prog", "about", kinds, flags, flat=False)
    assert options.data == "real"
    assert configs == {"bundle": Inner(learning_rate=0.25), "policy": Outer(ppo=Inner(learning_rate=0.5))}


def test_yaml_and_back_is_the_same_config(tmp_path: Path) -> None:
    config = Outer(limit=2.5, gates={"auc": 0.84}, offers=(0.0, 0.2), gain=float("inf"))
    configuration.write_config(tmp_path / "config.yaml", config, comment="as run")
    text = (tmp_path / "config.yaml").read_text()
    assert text.startswith("# as run\nppo:\n")
    assert structure(yaml.safe_load(text), Outer, where="config") == config


def test_yaml_reads_1e_3_as_text_and_we_as_a_number(tmp_path: Path) -> None:
    _, config = parsed(tmp_path, "policy: {ppo: {learning_rate: 1e-3}, gain: 2e-1, limit: .inf}")
    assert config.ppo.learning_rate == 1e-3
    assert config.gain == 0.2
    assert config.limit == float("inf")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"polcy": {}}, "unknown key 'polcy'; did you mean 'policy'?; allowed: data, churn"),
        ({"policy": {"ppo": {"learnin_rate": 1}}}, "unknown key 'learnin_rate'; did you mean 'learning_rate'?"),
        ({"policy": {"ppo": {"lr": 1}}}, "policy.ppo: unknown key 'lr'; allowed: learning_rate, hidden"),
        ({"policy": {"steps": "many"}}, "policy.steps: 'many' is not a number"),
        ({"policy": {"steps": 1.5}}, "policy.steps: '1.5' is not a whole number"),
        ({"policy": {"steps": True}}, "policy.steps: 'true' is not a number"),
        ({"policy": {"normalise": 1}}, "policy.normalise: '1' is neither true nor false"),
        ({"policy": {"normalise": "yes please"}}, "policy.normalise: 'yes please' is neither true nor false"),
        ({"policy": {"ppo": {"learning_rate": "fast"}}}, "policy.ppo.learning_rate: 'fast' is not a number"),
        ({"policy": {"ppo": {"learning_rate": 2}}}, "policy.ppo: learning_rate is 2.0; allowed: (0, 1]"),
        ({"policy": {"ppo": 3}}, "policy.ppo: must be keys and values (learning_rate, hidden), not '3'"),
        ({"policy": {"ppo": {"hidden": 64}}}, "policy.ppo.hidden: must be a list, such as [a, b], not '64'"),
        ({"policy": {"ppo": {"hidden": [64, "x"]}}}, "policy.ppo.hidden[1]: 'x' is not a number"),
        ({"policy": {"offers": [0.1]}}, "policy.offers: has 1 entries; allowed: 2"),
        ({"policy": {"activation": "relo"}}, "policy.activation: is 'relo'; did you mean 'relu'?; allowed: tanh, relu"),
        ({"policy": {"limit": "none"}}, "policy.limit: 'none' is not a number"),
        ({"policy": {"gain": "none"}}, "policy.gain: 'none' is not a number"),
        ({"policy": {"gates": {"auc": "x"}}}, "policy.gates.auc: 'x' is not a number"),
        ({"policy": ["steps"]}, "policy: must be keys and values, not ['steps']"),
        ("policy: {steps: [", "line 1: "),
        ("- 1", "mine.yaml: must be keys and values"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused_with_file_key_and_what_is_allowed(
    tmp_path: Path, content: Any, message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(tmp_path, content)
    assert message in str(raised.value)
    assert "mine.yaml" in str(raised.value)


def test_all_faults_of_a_preset_are_named_at_once(tmp_path: Path) -> None:
    content = {"bundle": {"hidden": "x"}, "policy": {"steps": "x", "ppo": {"lr": 1}}}
    kinds: dict[str, type] = {"bundle": Inner, "policy": Outer}
    with pytest.raises(ConfigError) as raised:
        parse("prog", "about", kinds, [preset_file(tmp_path, content)], flat=False)
    assert [line.split("mine.yaml: ")[1].split(":")[0] for line in str(raised.value).splitlines()] == [
        "bundle.hidden", "policy.ppo", "policy.steps",
    ]  # fmt: skip


def test_a_setting_without_default_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"policy\.seed: is missing|policy: .*seed"):
        parse("prog", "about", {"policy": Needy}, [preset_file(tmp_path, {})], flat=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which preset? prog {smoke,demo,train,mvp}"),
        (["--resume"], "which preset?"),
        (["dmo"], "unknown preset 'dmo'; allowed: smoke, demo, train, mvp, or a file ending in .yaml"),
        (["missing.yaml"], "missing.yaml: no such file"),
        (["mine.yaml", "--name", "a/b"], "--name 'a/b' is not a folder name"),
        (["mine.yaml", "--resume", "--force"], "give one of the two"),
        (["mine.yaml", "--ppo.learning-rate", "7"], "learning_rate is 7.0; allowed: (0, 1]"),
    ],
)
def test_a_command_line_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    preset_file(tmp_path, {})
    with pytest.raises(ConfigError) as raised:
        parse("prog", "about", {"policy": Outer}, arguments, flat=True)
    assert message in str(raised.value)


@pytest.mark.parametrize("flags", [["--ppo.lr", "1"], ["--steps", "x"], ["--data", "fake"], ["stray"]])
def test_an_unknown_flag_or_value_ends_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        parse("prog", "about", {"policy": Outer}, [preset_file(tmp_path, {}), *flags], flat=True)
    assert raised.value.code == 2
    assert flags[0].lstrip("-").split(".")[0] in capsys.readouterr().err


def test_help_names_stage_settings_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse("prog", "about", {"policy": Outer}, [preset_file(tmp_path, {}), "--help"], flat=True)
    assert raised.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--ppo.learning-rate", "--resume", "--data", "--name"):
        assert flag in shown


def test_differences_are_named_by_their_keys() -> None:
    before = unstructure(Outer())
    after = unstructure(Outer(ppo=Inner(hidden=(8,)), steps=11))
    assert configuration.differences(before, after) == ["ppo.hidden: [64, 64] → [8]", "steps: 10 → 11"]


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1])
def test_a_number_out_of_range_names_the_interval(value: float) -> None:
    with pytest.raises(ConfigError, match=r"share is .*; allowed: \[0, 1\]"):
        in_range("share", value, 0, 1)
