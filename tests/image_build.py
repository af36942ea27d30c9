"""Plays a Dockerfile's steps in a folder, without a container engine.

Copies from what .dockerignore lets through, runs each RUN line with its absolute paths moved below that folder, and
says what the image would start and with which settings.

What only root in a container can do (apt-get, useradd) is played by commands that do nothing.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PLAYED = ("apt-get", "useradd")
_OWN_PATHS = re.compile(r"(?<![\w./$}])/(app|opt|var|root|home)(?=[/\s\"':]|$)")


@dataclass
class Image:
    """A stage while it is played."""

    root: Path
    settings: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def inside(self, text: str) -> str:
        """Absolute paths of the image as paths below its folder."""
        return _OWN_PATHS.sub(lambda match: f"{self.root}/{match[1]}", text)

    @property
    def folder(self) -> Path:
        return Path(self.inside(self.workdir))

    def environment(self) -> dict[str, str]:
        """What its processes see, of ours only the way to the package index and its cache."""
        kept = (
            "UV_CACHE_DIR",
            "UV_INDEX_URL",
            "UV_DEFAULT_INDEX",
            "PIP_INDEX_URL",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
        )
        proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
        base = {name: os.environ[name] for name in (*kept, *proxies) if name in os.environ}
        base |= {"PATH": f"{self.root}/played:{os.environ['PATH']}", "HOME": str(self.root / "home")}
        return base | {name: self.inside(value) for name, value in self.settings.items()}


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, its text) in order; comments and line continuations are gone."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def context_files(root: Path) -> list[str]:
    """Files of the build context, by Docker's rules: of .dockerignore's patterns the last that fits decides."""
    rules = [line.strip() for line in (root / ".dockerignore").read_text().splitlines()]
    patterns = [(not rule.startswith("!"), _pattern(rule.lstrip("!"))) for rule in rules if rule and rule[0] != "#"]
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.splitlines()

    def let_through(name: str) -> bool:
        ignored = False
        for ignores, pattern in patterns:
            if pattern.match(name):
                ignored = ignores
        return not ignored

    return [name for name in tracked if let_through(name) and (root / name).is_file()]


def _pattern(rule: str) -> re.Pattern[str]:
    """A rule fits a path or any folder above it."""
    pieces = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = re.sub(
        r"\*\*/|\*\*|\*|\?|[^*?\[\]]+", lambda match: pieces.get(match[0], re.escape(match[0])), rule.strip("/")
    )
    return re.compile(f"{text}(/.*)?$")


def play(dockerfile: Path, context: Path, scratch: Path, arguments: dict[str, str]) -> Image:
    """The last stage, all stages played. Raises AssertionError for a RUN that fails and a COPY of nothing."""
    allowed = set(context_files(context))
    stages: dict[str, Image] = {}
    defaults = dict(arguments)
    for word, rest in instructions(dockerfile):
        if word == "ARG":
            name, _, value = rest.partition("=")
            defaults.setdefault(name, value.strip('"'))
        elif word == "FROM":
            name = rest.split(" AS ")[1]
            image = stages[name] = Image(scratch / name)
            _equip(image.root)
        else:
            _step(image, word, rest, context, allowed, stages, defaults)
    return image


def _equip(root: Path) -> None:
    (root / "played").mkdir(parents=True)
    (root / "home").mkdir()
    for name in PLAYED:
        (root / "played" / name).write_text("#!/bin/sh\nexit 0\n")
        (root / "played" / name).chmod(0o755)


def _step(
    image: Image,
    word: str,
    rest: str,
    context: Path,
    allowed: set[str],
    stages: dict[str, Image],
    arguments: dict[str, str],
) -> None:
    if word == "RUN":
        script = image.inside(re.sub(r"--mount=\S+\s*", "", rest))
        environment = image.environment() | arguments
        done = subprocess.run(
            [*image.shell, script], cwd=image.folder, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"RUN {rest}\n{done.stdout}\n{done.stderr}"
    elif word == "COPY":
        _copy(image, rest.split(), context, allowed, stages)
    elif word == "WORKDIR":
        image.workdir = rest
        image.folder.mkdir(parents=True, exist_ok=True)
    elif word == "ENV":
        for name, value in (pair.split("=", 1) for pair in shlex.split(rest)):
            image.settings[name] = value.replace("${PATH}", f"{image.root}/played:{os.environ['PATH']}")
    elif word == "USER":
        image.user = rest
    elif word == "HEALTHCHECK":
        image.healthcheck = json.loads(rest[rest.index("[") :])
    elif word in ("SHELL", "ENTRYPOINT", "CMD"):
        setattr(image, {"SHELL": "shell", "ENTRYPOINT": "entrypoint", "CMD": "command"}[word], json.loads(rest))
    else:
        assert word == "EXPOSE", f"{word} is not played here"


def _copy(image: Image, words: list[str], context: Path, allowed: set[str], stages: dict[str, Image]) -> None:
    origin = next((stages[each.partition("=")[2]] for each in words if each.startswith("--from=")), None)
    *sources, target = [each for each in words if not each.startswith("--")]
    place = Path(image.inside(target)) if target.startswith("/") else image.folder / target
    if origin is not None:
        shutil.copytree(origin.inside(sources[0]), place, symlinks=True)
        _move_paths(place, str(origin.root), str(image.root))
        return
    for source in sources:
        files = [name for name in allowed if name == source or name.startswith(source + "/")]
        assert files, f"COPY {source}: .dockerignore lets nothing of it through"
        for name in files:
            to = place / Path(name).relative_to(source) if name != source else place / Path(name).name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(context / name, to)


def _move_paths(place: Path, before: str, after: str) -> None:
    """Scripts of a virtual environment name their interpreter by its whole path: in the image both stages have one."""
    for script in [*place.glob("bin/*"), place / "pyvenv.cfg"]:
        if script.is_file() and not script.is_symlink():
            content = script.read_bytes()
            if before.encode() in content:
                script.write_bytes(content.replace(before.encode(), after.encode()))
