"""What a decoder is made of, in one frozen record, whatever family it comes from."""

from dataclasses import dataclass
from typing import Literal

from retentionjax.errors import ModelError

Family = Literal["llama", "opt", "gpt2"]
RopeKind = Literal["default", "linear", "llama3", "yarn"]


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding (Su et al. 2021) and how its frequencies are stretched for longer contexts."""

    theta: float = 10_000.0
    """Base of the geometric series of wavelengths."""
    kind: RopeKind = "default"
    factor: float = 1.0
    """How many times longer the context is than the one trained on."""
    low_freq_factor: float = 1.0
    """llama3: wavelengths above original_positions / low_freq_factor are stretched by `factor`."""
    high_freq_factor: float = 4.0
    """llama3: wavelengths below original_positions / high_freq_factor are left alone."""
    original_positions: int = 8192
    """llama3, yarn: length of the context trained on."""
    beta_fast: float = 32.0
    """yarn: rotations above which a frequency is left alone."""
    beta_slow: float = 1.0
    """yarn: rotations below which a frequency is stretched by `factor`."""
    attention_factor: float = 1.0
    """yarn: cosines and sines are multiplied by it."""
    truncate: bool = True
    """yarn: round the corrected range outwards to whole dimensions."""

    def __post_init__(self) -> None:
        """Refuses what has no frequencies, or none that are numbers."""
        for name in ("theta", "factor", "original_positions", "beta_fast", "beta_slow", "attention_factor"):
            if not getattr(self, name) > 0:
                raise ModelError(f"rope: {name} is {getattr(self, name)}; allowed: above 0")
        if self.kind == "llama3" and not self.high_freq_factor > self.low_freq_factor > 0:
            raise ModelError(
                f"rope: low_freq_factor is {self.low_freq_factor}, high_freq_factor {self.high_freq_factor}; allowed: "
                "both above 0, the second above the first"
            )


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes and switches. Written by `decoder.formats.from_hf`; every field holds for each layer."""

    family: Family
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    """Key and value heads; each is shared by num_heads / num_kv_heads query heads."""
    head_dim: int
    intermediate_size: int
    max_positions: int
    """Longest sequence the model was made for; learned position embeddings have no more rows."""
    model_type: str
    """The name in config.json: llama, mistral, qwen2, qwen3, smollm3, opt, gpt2."""
    embedding_size: int
    """Width of embeddings and of what the vocabulary head reads; OPT-350m projects it to and from hidden_size."""
    norm_eps: float = 1e-5
    activation: str = "silu"
    tied: bool = False
    """The vocabulary head is the embedding, transposed."""
    qkv_bias: bool = False
    output_bias: bool = False
    """Bias of the attention's output projection."""
    mlp_bias: bool = False
    qk_norm: bool = False
    """RMS norm over each head's query and key before the rotation (Qwen3)."""
    norm_first: bool = True
    """Norms before attention and MLP; OPT-350m has them after."""
    final_norm: bool = True
    rope: Rope | None = None
    """None: learned position embeddings."""
    windows: tuple[int, ...] | None = None
    """Tokens each layer looks back over, itself included; 0 is all. None: no layer is limited."""
    rotated: tuple[bool, ...] | None = None
    """Whether each layer rotates queries and keys (SmolLM3 leaves every fourth without positions). None: all do."""

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim")
        for name in (*sizes, "intermediate_size", "max_positions"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if not self.norm_eps >= 0:
            raise ModelError(f"norm_eps is {self.norm_eps}; allowed: 0 or more")
        if self.num_heads % self.num_kv_heads:
            raise ModelError(
                f"num_key_value_heads is {self.num_kv_heads}; allowed: a divisor of the {self.num_heads} heads"
            )
        if self.rope is not None and self.head_dim % 2:
            raise ModelError(f"head_dim is {self.head_dim}; allowed: an even number, since dimensions rotate in pairs")
        for name in ("windows", "rotated"):
            entries = getattr(self, name)
            if entries is not None and len(entries) != self.num_layers:
                raise ModelError(
                    f"{name} has {len(entries)} entries; allowed: one for each of {self.num_layers} layers"
                )

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of a layer's projections, under the names they have in the checkpoint."""
        d, f = self.hidden_size, self.intermediate_size
        q, kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        if self.family == "gpt2":
            return {"c_attn": (d, 3 * d), "attn.c_proj": (d, d), "c_fc": (d, f), "mlp.c_proj": (f, d)}
        attention = {"q_proj": (d, q), "k_proj": (d, kv), "v_proj": (d, kv)}
        if self.family == "opt":
            return attention | {"out_proj": (q, d), "fc1": (d, f), "fc2": (f, d)}
        return attention | {"o_proj": (q, d), "gate_proj": (d, f), "up_proj": (d, f), "down_proj": (f, d)}

    def has_bias(self, projection: str) -> bool:
        """Whether `projection` adds a bias."""
        if projection in ("q_proj", "k_proj", "v_proj", "c_attn"):
            return self.qkv_bias
        if projection in ("o_proj", "out_proj", "attn.c_proj"):
            return self.output_bias
        return self.mlp_bias
