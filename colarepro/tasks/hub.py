"""Rows from a hub, and why there are none."""

from collections.abc import Iterator

from colarepro.errors import ColaError
from colarepro.tasks.readers import Row
from colarepro.tasks.task import Hub, Split


def hub_rows(hub: Hub, split: Split, instead: str) -> Iterator[tuple[int, Row]]:
    """Rows of a split at the pinned commit, counted from 1; ``instead`` ends the sentence if there are none."""
    try:
        from datasets import load_dataset

        data = load_dataset(hub.dataset, hub.config, revision=hub.revision, split=split)
    except Exception as error:  # the hub's client raises dozens of kinds, httpx's among them
        if is_gated(error):
            said = "is gated: ask for access on its hub page and log in (hf auth login)"
        else:
            said = f"could not be read from the hub at {hub.revision[:7]} ({type(error).__name__})"
        raise ColaError(f"Dataset {hub.dataset} {said}; {instead}.") from error
    yield from enumerate(data, start=1)


def is_gated(error: BaseException | None) -> bool:
    """Whether a hub refused for want of granted access; its clients wrap that refusal in errors of their own."""
    from huggingface_hub.errors import GatedRepoError

    while error is not None and not isinstance(error, GatedRepoError):
        error = error.__cause__ or error.__context__
    return error is not None
