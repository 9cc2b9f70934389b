"""YAML that people write: a key stands once, and levels are few. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The compiled parser is seven times as fast; some builds of PyYAML do without."""
YAML_LEVELS = 100
"""Lists and keys inside of each other; thousands end the compiled parser, and Python with it."""


def read_yaml(path: Path) -> Any:  # noqa: ANN401
    """The value in a YAML file; a ValueError that names the file where it cannot be read, or a key stands twice."""
    try:
        text = path.read_text(encoding="utf-8")
        _check_levels(text)
        loader = _YAML(text)
        try:
            node = loader.get_single_node()
            _check_keys(node, set())
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML: {error}") from None


def _check_levels(text: str) -> None:
    level = 0
    for event in yaml.parse(text, _YAML):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > YAML_LEVELS:
            raise yaml.YAMLError(f"more than {YAML_LEVELS} levels of lists and keys inside of each other")


def _check_keys(node: Any, seen: set[int]) -> None:  # noqa: ANN401
    """A YAMLError for a key that stands twice, of which the last would count in silence."""
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
        return
    seen.add(id(node))
    inside = node.value
    if isinstance(node, yaml.MappingNode):
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        names = [key.value for key in keys]
        if twice := [key for place, key in enumerate(keys) if key.value in names[:place]]:
            line = twice[0].start_mark.line + 1
            raise yaml.YAMLError(f"the key {twice[0].value!r} stands twice, again in line {line}: keep one")
        inside = [value for pair in node.value for value in pair]
    for each in inside:
        _check_keys(each, seen)
