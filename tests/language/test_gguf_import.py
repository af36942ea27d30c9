"""A GGUF file, written here as llama.cpp's converter writes one, becomes the Hugging Face folder it was made of."""

from collections.abc import Callable
from pathlib import Path

import gguf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from retentionjax.errors import ModelError
from retentionjax.language import gguf_import, hub, tokenizer
from retentionjax.language.decoder import Decoder, DecoderConfig, Rope, init
from retentionjax.language.decoder.weights import to_tensors

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ t", "h e", "Ġt he", "1 0"]
CONFIG = DecoderConfig(
    family="llama",
    model_type="llama",
    vocab_size=263,
    hidden_size=64,
    embedding_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=96,
    max_positions=128,
    norm_eps=1e-5,
    tied=True,
    rope=Rope(theta=100_000.0),
)
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def permute(weights: np.ndarray, heads: int) -> np.ndarray:
    """Permutes as `convert_hf_to_gguf.py` of llama.cpp does: the two halves of each head are interleaved."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def llama_cpp_name(name: str) -> str:
    if name.startswith("model.layers."):
        layer, inner = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
        return f"blk.{layer}.{NAMES[inner]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]


def vocabulary() -> list[str]:
    from tokenizers import pre_tokenizers

    words = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
    assert len(words) == CONFIG.vocab_size
    return words


def write(
    path: Path, decoder: Decoder, quantised: gguf.GGMLQuantizationType | None = None, pre: str = "smollm"
) -> None:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(CONFIG.num_layers)
    writer.add_context_length(CONFIG.max_positions)
    writer.add_embedding_length(CONFIG.hidden_size)
    writer.add_feed_forward_length(CONFIG.intermediate_size)
    writer.add_head_count(CONFIG.num_heads)
    writer.add_head_count_kv(CONFIG.num_kv_heads)
    writer.add_rope_freq_base(100_000.0)
    writer.add_rope_dimension_count(CONFIG.head_dim)
    writer.add_layer_norm_rms_eps(CONFIG.norm_eps)
    writer.add_vocab_size(CONFIG.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary())
    writer.add_token_types([3] * len(SPECIAL) + [1] * (CONFIG.vocab_size - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(tokenizer.CHATML)
    for name, tensor in to_tensors(decoder.config, decoder.parameters()):
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = permute(tensor, CONFIG.num_heads if "q_proj" in name else CONFIG.num_kv_heads)
        if quantised is not None and "proj" in name:
            writer.add_tensor(llama_cpp_name(name), gguf.quantize(tensor, quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(llama_cpp_name(name), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return init(CONFIG, jax.random.key(0))


@pytest.fixture
def convert(tmp_path: Path) -> Callable[[], hub.Model]:
    def run() -> hub.Model:
        folder = tmp_path / "folder"
        folder.mkdir()
        gguf_import.convert(epath.Path(tmp_path / "model.gguf"), epath.Path(folder))
        return hub.load(folder)

    return run


def test_weights_and_config_come_back(decoder: Decoder, tmp_path: Path, convert: Callable[[], hub.Model]) -> None:
    write(tmp_path / "model.gguf", decoder)
    found = convert().decoder
    assert found.config == decoder.config
    jax.tree.map(np.testing.assert_array_equal, found, decoder)


def test_four_bit_weights_are_within_half_a_step(
    decoder: Decoder, tmp_path: Path, convert: Callable[[], hub.Model]
) -> None:
    write(tmp_path / "model.gguf", decoder, gguf.GGMLQuantizationType.Q4_1)
    found = convert().decoder.parameters()
    for name, array in decoder.parameters().items():
        if name.endswith("o_proj.kernel"):
            # Q4_1: 16 levels between the least and the greatest of each 32 inputs; d and m are float16.
            blocks = jnp.moveaxis(array, 1, 2).reshape(-1, 32)
            step = (blocks.max(1) - blocks.min(1)) / 15
            error = jnp.abs(jnp.moveaxis(found[name], 1, 2).reshape(-1, 32) - blocks)
            assert bool((error <= 0.5 * step[:, None] + 1e-4).all())
            assert float(error.max()) > 1e-4


def test_the_tokenizer_is_rebuilt(decoder: Decoder, tmp_path: Path, convert: Callable[[], hub.Model]) -> None:
    write(tmp_path / "model.gguf", decoder)
    found = convert().tokenizer
    words = vocabulary()
    ids = found.encode("the 10<|im_end|>")
    # Digits stand apart before merges are looked up, so "1 0" never applies; "Ġt he" needs a space before it.
    assert [words[index] for index in ids] == ["t", "he", "Ġ", "1", "0", "<|im_end|>"]
    for text in ("the end", "10% off – naïve 你好 🎉", "  two\n\nlines\t"):
        assert found.decode(found.encode(text)) == text
    assert (found.bos_token_id, found.eos_token_id, found.pad_token_id) == (1, 2, 0)
    turn = tokenizer.chat_ids(found, [{"role": "user", "content": "the"}])
    assert found.decode(turn) == "<|im_start|>user\nthe<|im_end|>\n<|im_start|>assistant\n"


def test_another_tokenizer_or_tensor_is_refused(
    decoder: Decoder, tmp_path: Path, convert: Callable[[], hub.Model]
) -> None:
    write(tmp_path / "model.gguf", decoder, pre="llama-bpe")
    with pytest.raises(ModelError, match=r"the tokenizer is gpt2, split by llama-bpe; allowed: gpt2, split by smollm"):
        convert()
    writer = gguf.GGUFWriter(str(tmp_path / "other.gguf"), "mamba")
    writer.add_tensor("a", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"general.architecture is 'mamba'; allowed: llama"):
        gguf_import.convert(epath.Path(tmp_path / "other.gguf"), epath.Path(tmp_path))
