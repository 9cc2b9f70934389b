"""Checks that a bundle is whole: its JSON-LD, and the digest of every file. No torch."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vggrepro.core import limits
from vggrepro.core.files import Files, file_digest, same_on_disk
from vggrepro.core.printable import visible

METADATA = "ro-crate-metadata.json"
LISTED_PROBLEMS = 20
"""Problems that a message lists."""


def check_bundle(path: Path) -> int:
    """The number of files of a crate (zip or folder); a ValueError that lists all problems if it is not whole."""
    files = Files(path)
    if problems := _unsafe(files):
        raise ValueError(f"{path}: {_in_one(problems)}")
    with tempfile.TemporaryDirectory() as name:
        folder = path
        if not path.is_dir():
            folder = Path(name)
            # Files refuses a zip with names that lead out of the folder
            for file in files.names:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(files.read(file))
        if problems := bundle_problems(folder):
            raise ValueError(f"{path}: {_in_one(problems)}")
    return len(files.names)


def _unsafe(files: Files) -> list[str]:
    """What forbids to unpack a crate: too many bytes, or names that a disk takes for one, by case or by form of an accent."""
    size = sum(files.sizes().values())
    if size > limits.CRATE_BYTES:
        return [f"unpacks to {size:,} bytes, expected at most {limits.CRATE_BYTES:,}"]
    return [f"{name!r} is the name of several files" for name in same_on_disk(files.names)]


def _in_one(problems: list[str]) -> str:
    more = f"; and {len(problems) - LISTED_PROBLEMS:,} more" if len(problems) > LISTED_PROBLEMS else ""
    return visible("; ".join(problems[:LISTED_PROBLEMS]) + more)


def bundle_problems(folder: Path) -> list[str]:
    """All problems of an unpacked crate: invalid JSON-LD, and files that are missing, changed or not described."""
    from rocrate.rocrate import ROCrate

    try:
        graph = json.loads((folder / METADATA).read_text(encoding="utf-8"))["@graph"]
        ROCrate(folder)
        return _wrong_entities(graph) + _wrong_files(folder, {entity["@id"]: entity for entity in graph})
    except Exception as error:  # the library raises exceptions of many kinds, and a graph of others may hold anything
        return [f"{METADATA} cannot be read as the description of a crate ({type(error).__name__}: {error})"]


def _wrong_entities(graph: list[dict[str, Any]]) -> list[str]:
    """Entities that are described twice or not at all, and terms that JSON-LD does not know."""
    from rocrate import vocabs

    ids = {entity["@id"] for entity in graph}
    problems = [] if len(ids) == len(graph) else ["an @id occurs twice"]
    known = vocabs.RO_CRATE["@context"]
    for entity in graph:
        terms = {key for key in entity if not key.startswith("@")} | set(_listed(entity["@type"]))
        problems += [f"{entity['@id']}: {term} is no term of the context" for term in sorted(terms - set(known))]
        links = {link["@id"] for value in entity.values() for link in _listed(value) if isinstance(link, dict)}
        lost = sorted(link for link in links - ids if not link.startswith("https://"))
        problems += [f"{entity['@id']} refers to {link}, which is not described" for link in lost]
    return problems


def _wrong_files(folder: Path, entities: Mapping[str, Any]) -> list[str]:
    """Files that are missing, changed, or not described."""
    present = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} - {METADATA}
    parts = {unquote(part["@id"]): entities[part["@id"]] for part in _listed(entities["./"].get("hasPart", []))}
    problems = [f"{name} is not in it" for name in sorted(set(parts) - present)]
    problems += [f"{name} is not described" for name in sorted(present - set(parts))]
    changed = [name for name in sorted(present & set(parts)) if file_digest(folder / name) != parts[name].get("sha256")]
    return problems + [f"{name} is not the file that was described: its SHA-256 differs" for name in changed]


def _listed(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else [value]
