"""A tiny OPT that the package builds and pre-trains itself, for machines without hub, GPU or patience."""

import itertools
import random
import re
import string
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch.nn.functional import cross_entropy

from colarepro.models.cache import cached_aside, models_folder, save_model
from colarepro.models.quiet import quiet
from colarepro.models.tiny_text import document
from colarepro.tasks import known_tasks, load_task

VERSION = 2  # raise it when anything below, the text or the miniature world changes: the cache goes by it
STEPS = 1200
BATCH = 32  # documents
LEARNING_RATE = 3e-3
WIDTH, LAYERS, HEADS = 96, 2, 4
LONGEST = 256  # tokens
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # in OPT's order
TOLD_WEIGHT, VERDICT_WEIGHT = 0.1, 3.0


def place() -> Path:
    """Where the model is in the cache, or would be."""
    return models_folder() / f"tiny-{VERSION}"


def folder() -> Path:
    """The tiny model as a Hugging Face folder in the cache; built (under a minute on two cores) if not there.

    Built twice on one machine with the same torch it has the same bytes.
    """
    target = place()
    if not target.exists():
        with cached_aside(target) as aside:
            build(aside)
    return target


def build(into: Path, steps: int = STEPS) -> None:
    """Pre-train for ``steps`` optimizer steps and write model and tokenizer."""
    rng = random.Random(0)
    documents = [document(rng) for _ in range(steps * BATCH)]
    made = tokenizer(documents)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums must not depend on the number of cores, and so small a model gains nothing by two
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = pretrained(made, documents, steps)
    finally:
        torch.set_num_threads(threads)
    with quiet():
        save_model(model, into)
        made.save_pretrained(into)


def tokenizer(documents: list[str]) -> Any:
    """One token a known word, sign or line break; other words fall to characters. BOS is ``</s>``, as in OPT."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    asked = [text for name in known_tasks() for text in (load_task(name).template, *load_task(name).verbalizers)]
    words = sorted({word for text in itertools.chain(documents, asked) for word in re.findall(r"\w+", text)})
    signs = [character for character in string.printable if not character.isspace()]
    inner = [f"##{character}" for character in string.ascii_letters + string.digits]
    vocabulary = dict.fromkeys((*SPECIAL, "\n", *signs, *inner, *words))
    core = Tokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n|\w+|[^\w\s]"), "removed", invert=True)
    core.decoder = decoders.WordPiece()
    core.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=LONGEST,
    )


def pretrained(made: Any, documents: list[str], steps: int) -> Any:
    """An OPT trained on next tokens, one pass over ``documents`` in batches of ``BATCH``."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=len(made),
        hidden_size=WIDTH,
        word_embed_proj_dim=WIDTH,
        ffn_dim=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=LONGEST,
        init_std=0.05,  # OPT's 0.02 suits widths of thousands
        dropout=0.0,
        pad_token_id=made.pad_token_id,
        bos_token_id=made.bos_token_id,
        eos_token_id=made.eos_token_id,
    )
    model = OPTForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 50, max(0.02, 1 - step / steps))
    )
    ids = [torch.tensor(row) for row in made(documents)["input_ids"]]
    weights = [_weights(row, made) for row in ids]
    for step in track(range(steps), description="pre-training the tiny model"):
        batch = slice(step * BATCH, (step + 1) * BATCH)
        tokens = torch.nn.utils.rnn.pad_sequence(ids[batch], batch_first=True, padding_value=made.pad_token_id)
        weight = torch.nn.utils.rnn.pad_sequence(weights[batch], batch_first=True)[:, 1:].flatten()
        logits = model(input_ids=tokens, attention_mask=(tokens != made.pad_token_id).long()).logits[:, :-1]
        losses = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        ((losses * weight).sum() / weight.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return model.eval()


def _weights(ids: torch.Tensor, made: Any) -> torch.Tensor:
    """The loss dwells on what follows from the facts: the facts themselves cannot be foreseen."""
    so, here, absent = made.convert_tokens_to_ids(["So", "here", "absent"])
    weight = torch.ones(len(ids))
    weight[(ids == here) | (ids == absent)] = VERDICT_WEIGHT
    claims = (ids == so).nonzero().flatten()
    if len(claims):
        weight[: int(claims[0])] = TOLD_WEIGHT
    return weight
