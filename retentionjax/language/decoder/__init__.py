"""Decoders that read Hugging Face checkpoints: llama-like, OPT, GPT-2."""

from retentionjax.language.decoder.config import DecoderConfig, Rope
from retentionjax.language.decoder.model import Decoder, default_positions, init
from retentionjax.language.decoder.parts import Cache

__all__ = ["Cache", "Decoder", "DecoderConfig", "Rope", "default_positions", "init"]
