"""``python -m colarepro.models fetch smollm2-135m`` (or ``tiny``) puts a model into the cache."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from colarepro.errors import exit_cleanly
from colarepro.models import fetch


@dataclass(frozen=True)
class Models:
    """Put a model that needs no hub into the cache."""

    command: Annotated[Literal["fetch"], tyro.conf.Positional]
    """What to do."""
    name: Annotated[str, tyro.conf.Positional]
    """smollm2-135m or tiny."""

    def run(self) -> None:
        """Fetch, and say where it is."""
        print(fetch(self.name))


def main() -> None:
    tyro.cli(Models).run()


if __name__ == "__main__":
    exit_cleanly(main)
