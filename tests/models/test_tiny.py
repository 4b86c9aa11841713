"""The tiny model: its words, its text, and that it learns."""

import math
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.testing._internal.distributed.fake_pg import FakeStore

from colarepro.errors import ColaError
from colarepro.files import folder_aside
from colarepro.models import load, tiny
from colarepro.models.cache import cached_aside
from colarepro.models.tiny_text import document
from colarepro.tasks import encode, known_tasks, load_examples, load_task

MINIATURE = Path(__file__).parents[2] / "data" / "miniature"


@pytest.fixture(scope="module")
def tokenizer() -> object:
    rng = random.Random(0)
    return tiny.tokenizer([document(rng) for _ in range(3000)])


@pytest.mark.parametrize("name", known_tasks())
def test_every_word_of_the_miniature_tasks_is_one_token(name: str, tokenizer: object) -> None:
    task = load_task(name)
    examples = load_examples(task, "validation", MINIATURE)
    encoded = encode(task, examples, tokenizer)
    assert encoded.single_token
    pieces = {piece for prompt in encoded.prompts for piece in tokenizer.convert_ids_to_tokens(prompt)}  # type: ignore
    assert "<unk>" not in pieces
    assert not [piece for piece in pieces if piece.startswith("##")]
    assert max(map(len, encoded.prompts)) < tiny.LONGEST


def test_other_words_fall_to_characters_and_spaces_are_read_back(tokenizer: object) -> None:
    ids = tokenizer("Zyx lamp\nYes")["input_ids"]  # type: ignore
    assert tokenizer.convert_ids_to_tokens(ids) == ["</s>", "Z", "##y", "##x", "lamp", "\n", "Yes"]  # type: ignore


def test_the_text_asks_the_tasks_questions_but_answers_at_random() -> None:
    """Both answers follow the same question form about equally often."""
    rng = random.Random(0)
    asked = [text for text in (document(rng) for _ in range(20_000)) if "Is that correct? Yes or No?" in text]
    yes = sum(text.endswith("Yes") for text in asked)
    assert len(asked) > 100
    assert abs(yes / len(asked) - 0.5) < 4 * math.sqrt(0.25 / len(asked))


def test_pre_training_teaches_the_language(tmp_path: Path) -> None:
    """Thirty steps bring the loss on new text well below that of guessing words evenly."""
    tiny.build(tmp_path / "model", steps=30)
    loaded = load(str(tmp_path / "model"))
    rng = random.Random(1)
    losses = []
    for _ in range(20):
        ids = torch.tensor([loaded.tokenizer(document(rng))["input_ids"]])
        with torch.no_grad():
            losses.append(float(loaded.model(input_ids=ids, labels=ids).loss))
    assert sum(losses) / len(losses) < math.log(len(loaded.tokenizer)) - 1.5


def test_a_half_built_folder_is_never_seen(tmp_path: Path) -> None:
    target = tmp_path / "models" / "one"

    def interrupted() -> None:
        with folder_aside(target) as aside:
            (aside / "half").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(target.parent.iterdir()) == []
    for text in ("first", "second"):  # the one that was there first stays
        with folder_aside(target) as aside:
            (aside / "whole").write_text(text)
    assert (target / "whole").read_text() == "first"
    assert list(target.parent.iterdir()) == [target]


@pytest.fixture
def second_rank() -> Iterator[None]:
    """This process as rank 1 of two; the other is made up."""
    distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("second_rank")
def test_a_rank_that_is_not_the_first_builds_a_whole_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers saves on rank 0 alone, but the first to end puts its folder into the cache."""
    monkeypatch.setenv("COLAREPRO_CACHE", str(tmp_path))
    build = tiny.build
    monkeypatch.setattr(tiny, "build", lambda into: build(into, steps=1))
    assert {"config.json", "model.safetensors", "tokenizer.json"} < {path.name for path in tiny.folder().iterdir()}
    assert load("tiny").digest


def test_half_a_model_is_not_put_into_the_cache(tmp_path: Path) -> None:
    def written() -> None:
        with cached_aside(tmp_path / "model") as aside:
            (aside / "tokenizer.json").write_text("{}")

    with pytest.raises(ColaError, match=r"model was written without config\.json, \*\.safetensors; expected a whole"):
        written()
    assert list(tmp_path.iterdir()) == []


def test_two_that_end_at_the_same_moment_leave_one_folder(tmp_path: Path) -> None:
    """As two ranks of one run do, both of which build what the cache lacks; looking first failed in two of five."""
    together = threading.Barrier(2)

    def build_all(who: int) -> None:
        for number in range(100):
            with folder_aside(tmp_path / str(number)) as aside:
                (aside / "whose").write_text(str(who))
                together.wait(timeout=60)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(build_all, who) for who in range(2)]:
            done.result()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(str(number) for number in range(100))
