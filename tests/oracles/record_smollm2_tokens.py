"""Records how llama.cpp splits texts for SmolLM2: python record_smollm2_tokens.py SmolLM2-135M-Instruct.Q4_1.gguf.

Needs ik-llama-cpp-python, a build of llama.cpp, which the package and its tests do not.
"""

import json
import sys
from pathlib import Path

from ik_llama_cpp import IkLlama

TEXTS = [
    "Hello world",
    "Write a retention SMS. Brand: Northwind. With us: 14 months. Offer: 10% off for 30 days. Tone: warm.",
    "Hi Maria, thanks for 14 months with Northwind! Take 10% off your plan for 30 days. Reply STOP to opt out.",
    "Dear Mr. O'Neill-Smith, you've been with us since 2019-03-01; it's $1,234.50 a year, isn't it?",
    "Call 1-800-555-0199 or visit https://northwind.example/offers?id=42&ref=sms#top",
    "  two  spaces\n\nnew\tline \r\n trailing   ",
    "it's we're they'll I'd YOU'VE don’t",
    "Zoë, Łukasz and Müller: naïve café – “quoted” … ½ price ² Ⅻ ٣",
    "你好,世界。今日はいい天気ですね。 Привет, мир! مرحبا",
    "🎉🎉 50%OFF!!! 👍🏽 👨‍👩‍👧 #deal @you",
    "a1b2c3 x=1;y=2 // c++ 3.14159e-10 0x1F600 __init__ camelCaseWord SHOUTING",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n",
    "<|endoftext|>text after<|im_end|>",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "def f(x):\n    return {'a': [1, 2, 3], \"b\": None}\n",
]


def main() -> None:
    model = IkLlama(sys.argv[1], n_ctx=256, verbose=False)
    ids = [model.tokenize(text, add_bos=False, special=True) for text in TEXTS]
    entries = [{"text": text, "ids": each} for text, each in zip(TEXTS, ids, strict=True)]
    path = Path(__file__).with_name("smollm2_tokens.json")
    path.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
