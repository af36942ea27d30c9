"""Prints the packages of the image that runs it as a CycloneDX 1.5 document: Python's and Debian's, name and version.

Source: https://cyclonedx.org/docs/1.5/json/; package URLs by https://github.com/package-url/purl-spec.
"""

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

DEBIAN = Path("/var/lib/dpkg/status")


def python_packages() -> list[dict[str, Any]]:
    found = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in importlib.metadata.distributions()}
    return [component(name, version, f"pkg:pypi/{name}@{version}") for name, version in sorted(found.items())]


def debian_packages(status: Path = DEBIAN) -> list[dict[str, Any]]:
    if not status.exists():
        return []
    entries = [
        dict(re.findall(r"^(Package|Version|Status): (.*)$", entry, re.MULTILINE))
        for entry in status.read_text(encoding="utf-8").split("\n\n")
    ]
    installed = [each for each in entries if each.get("Status", "").endswith(" installed")]
    names = sorted((each["Package"], each["Version"]) for each in installed)
    return [component(name, version, f"pkg:deb/debian/{name}@{version}") for name, version in names]


def component(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "name": name, "version": version, "bom-ref": purl, "purl": purl}


if __name__ == "__main__":
    components = python_packages() + debian_packages()
    print(
        json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}, indent=1)
    )
