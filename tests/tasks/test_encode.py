"""Prompt and verbalizer are tokenised together and parted where the verbalizers begin to differ."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from colarepro.errors import ColaError
from colarepro.tasks import Example, encode, load_examples, load_task, tokenize
from tests.tasks.official import write

TEXT = ["a fine film It was great", "dull It was terrible", "Yes or No?\nYes", "Yes or No?\nNo", "Maybe Yes No"] * 20
BOS = {"single": "<s> $A", "special_tokens": [("<s>", 0)]}


def byte_level(bos: bool = True, eos: bool = False) -> PreTrainedTokenizerFast:
    """As OPT's and SmolLM2's."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXT, trainer)
    if bos:
        core.post_processor = processors.TemplateProcessing(**BOS)
    if eos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """As Llama 2's: a space is set before the text, spaces are letters, a line break is a piece of its own."""
    pieces = ["<s>", "</s>", "▁Yes", "Yes", "▁No", "No", "▁a", "\n", "▁", "?", "▁great", "▁terrible", "▁It", "▁was"]
    letters = sorted(set("".join(TEXT)) - {" ", "\n", "?"})
    core = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate([*pieces, *letters])}, unk_token="</s>"))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    from tokenizers import Regex

    core.pre_tokenizer = pre_tokenizers.Split(Regex("▁?(Yes|No|great|terrible|It|was)|▁|\n|."), "isolated")
    core.post_processor = processors.TemplateProcessing(**BOS)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("make", [byte_level, sentencepiece_like])
@pytest.mark.parametrize("name", ["sst2", "rte", "boolq", "wic", "multirc"])
def test_prompt_and_candidate_join_to_what_the_tokenizer_makes(name: str, make: Any, tmp_path: Path) -> None:
    task = write(tmp_path, name)
    examples, tokenizer = load_examples(task, "train", tmp_path), make()
    encoded = encode(task, examples, tokenizer)
    assert encoded.labels == [example.label for example in examples]
    for example, prompt in zip(examples, encoded.prompts, strict=True):
        for verbalizer, candidate in zip(task.verbalizers, encoded.candidates, strict=True):
            assert prompt + candidate == tokenizer(example.prompt + verbalizer)["input_ids"]


def test_a_verbalizer_after_a_line_break_has_no_space_before_it(tmp_path: Path) -> None:
    """Tokenised alone, sentencepiece would make ``▁Yes`` of it: another token."""
    tokenizer = sentencepiece_like()
    rte, sst2 = write(tmp_path, "rte"), write(tmp_path, "sst2")
    encoded = encode(rte, load_examples(rte, "train", tmp_path), tokenizer)
    assert [tokenizer.convert_ids_to_tokens(ids) for ids in encoded.candidates] == [["Yes"], ["No"]]
    assert encoded.single_token
    encoded = encode(sst2, load_examples(sst2, "train", tmp_path), tokenizer)
    assert [tokenizer.convert_ids_to_tokens(ids) for ids in encoded.candidates] == [["▁terrible"], ["▁great"]]


def test_long_prompts_lose_their_left_but_not_bos() -> None:
    task, tokenizer = load_task("boolq"), byte_level()
    example = Example("0", "a fine film " * 30 + "dull?\n", 0, "0")
    whole = encode(task, [example], tokenizer).prompts[0]
    cut = encode(task, [example], tokenizer, max_length=12)
    assert cut.prompts[0] == [0, *whole[-10:]]
    assert len(cut.prompts[0] + cut.candidates[0]) == 12
    assert encode(task, [example], tokenizer, max_length=len(whole) + 1).prompts[0] == whole
    without = byte_level(bos=False)
    assert encode(task, [example], without, max_length=12).prompts[0] == without(example.prompt)["input_ids"][-11:]
    tokenizer.model_max_length = 9  # the tokenizer's own limit binds too
    assert len(encode(task, [example], tokenizer).prompts[0]) == 8


def test_an_end_that_the_tokenizer_sets_is_taken_off() -> None:
    example = Example("0", "dull?\n", 0, "0")
    ended, plain = (encode(load_task("boolq"), [example], byte_level(eos=eos)) for eos in (True, False))
    assert ended == plain


def test_several_tokens_a_verbalizer_are_told_apart() -> None:
    task = dataclasses.replace(load_task("boolq"), verbalizers=("Yes", "Noquz"))
    encoded = encode(task, [Example("0", "dull?\n", 0, "0")], byte_level())
    assert not encoded.single_token
    assert len(encoded.candidates[1]) > len(encoded.candidates[0]) == 1


def test_a_space_that_ends_a_prompt_goes_to_the_verbalizer() -> None:
    """``Answer: `` and ``Yes`` are the tokens of ``Answer: Yes``: no lone space is left before the answer."""
    task, tokenizer = load_task("boolq"), byte_level()
    encoded = encode(task, [Example("0", "It was ", 0, "0")], tokenizer)
    assert encoded.prompts[0] == tokenizer("It was")["input_ids"]
    assert [tokenizer.convert_ids_to_tokens(ids)[0][0] for ids in encoded.candidates] == ["Ġ", "Ġ"]


def test_what_all_verbalizers_begin_with_belongs_to_the_prompt() -> None:
    task = dataclasses.replace(load_task("boolq"), verbalizers=("Maybe Yes", "Maybe No"))
    tokenizer = byte_level()
    encoded = encode(task, [Example("0", "dull?\n", 0, "0")], tokenizer)
    assert tokenizer.decode(encoded.prompts[0]).endswith("Maybe")
    assert [tokenizer.decode(ids) for ids in encoded.candidates] == [" Yes", " No"]


def test_tokenize_cuts_nothing() -> None:
    task, tokenizer = load_task("boolq"), byte_level()
    tokenizer.model_max_length = 9
    example = Example("0", "a fine film " * 30 + "dull?\n", 0, "0")
    assert tokenize(task, [example], tokenizer).prompts == [tokenizer(example.prompt)["input_ids"]]


def test_an_unknown_letter_is_not_taken_for_an_end() -> None:
    """OPT's unknown token is also its end of sequence."""
    words = {"<s>": 0, "</s>": 1, "dull?": 2, "Yes": 3, "No": 4}
    core = Tokenizer(models.WordLevel(words, unk_token="</s>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(**BOS)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="</s>")
    encoded = encode(load_task("boolq"), [Example("0", "dull?\n", 0, "0")], tokenizer)
    assert (encoded.prompts, encoded.candidates) == ([[0, 2]], [[3], [4]])


@pytest.mark.parametrize(
    ("verbalizers", "said"),
    [
        (("No", "Noquz"), "the verbalizer 'No' is the beginning of 'Noquz'"),
        (("Noquz", "No"), "the verbalizer 'No' is the beginning of 'Noquz'"),
        (("Yes", "Noquz", "No"), "the verbalizer 'No' is the beginning of 'Noquz'"),
    ],
)
def test_a_verbalizer_that_begins_another_is_refused(verbalizers: tuple[str, ...], said: str) -> None:
    task = dataclasses.replace(load_task("boolq"), verbalizers=verbalizers)
    with pytest.raises(ColaError, match=said):
        encode(task, [Example("0", "dull?\n", 0, "0")], byte_level())


def test_verbalizers_of_the_same_tokens_are_refused() -> None:
    """Words that a vocabulary lacks are one unknown token."""
    task = dataclasses.replace(load_task("boolq"), verbalizers=("Yes", "中", "文"))
    with pytest.raises(ColaError, match="'中' is the beginning of '文', or the same"):
        encode(task, [Example("0", "dull?\n", 0, "0")], sentencepiece_like())


def test_a_prompt_without_tokens_is_refused() -> None:
    """There would be no place from which to predict the answer; a beginning-of-sequence token is one."""
    empty = Example("empty", "", 0, "empty")
    with pytest.raises(ColaError, match="the prompt of example empty has no token"):
        encode(load_task("boolq"), [empty], byte_level(bos=False))
    assert encode(load_task("boolq"), [empty], byte_level()).prompts == [[0]]


def test_what_cannot_be_encoded_is_refused() -> None:
    task, tokenizer = load_task("boolq"), byte_level()
    one, other = Example("a", "dull?\n", 0, "a"), Example("b", "dull? Y", 0, "b")
    with pytest.raises(ColaError, match="no example"):
        encode(task, [], tokenizer)
    with pytest.raises(ColaError, match="leaves no room"):
        encode(task, [one], tokenizer, max_length=2)
    glued = dataclasses.replace(task, verbalizers=("es", "o"))
    with pytest.raises(ColaError, match="after the prompt of example b this tokenizer gives"):
        encode(glued, [one, other], tokenizer)
