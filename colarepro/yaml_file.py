"""YAML from anybody: plain values, in bounded time and memory."""

from pathlib import Path
from typing import Any

import yaml

from colarepro.errors import ColaError, quoted

LARGEST = 1_000_000  # bytes: a hundred times the longest file that we ship, and a minute of parsing
MOST_KEYS = 10_000
MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Merge keys (``<<``) of merge keys can make billions of entries out of a few lines; they end here. So does a key
    that stands twice in one mapping, of which PyYAML would take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # as it was written: merged keys, which may be the same, come later
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if (key.tag, key.value) in seen:
                    raise yaml.YAMLError(f"the key {quoted(key.value)} a second time in line {key.start_mark.line + 1}")
                seen.add((key.tag, key.value))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_KEYS:
            raise yaml.YAMLError(f"a mapping of more than {MOST_KEYS} keys")


def read_yaml(path: Path, what: str = "The file") -> Any:
    """The content of a YAML file; raises `ColaError`, which names it as ``what``, if there is none."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise ColaError(f"{what} {path} could not be read: {error.strerror}.") from error
    except ValueError as error:  # a name with a null character
        raise ColaError(f"{what} {str(path)!r} could not be read: {error}.") from error
    if len(raw) > LARGEST:
        raise ColaError(f"{what} {path} is too large; expected YAML of at most {LARGEST / 1e6:.0f} MB.")
    try:
        return yaml.load(raw.decode("utf-8-sig"), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError) as error:
        # Not only YAMLError: text that is not UTF-8, a date of a 13th month, `!!bool maybe`, `!!timestamp soon`.
        raise ColaError(f"{what} {path} is not YAML: {' '.join(str(error).split()):.200}.") from error
