"""The processes that share one run, as ``torchrun`` and ``accelerate launch`` start them; rank 0 speaks for all.

They share a file system. Without a launcher there is one process, and nothing here does anything.
"""

import os
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import distributed

from colarepro.errors import ColaError

T = TypeVar("T")


def count() -> int:
    """How many processes the launcher started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is rank 0."""
    return count() == 1 or os.environ.get("RANK", "0") == "0"


def draw_apart(seed: int) -> None:
    """Let each rank draw its own random numbers from now on, rank 0 those that it would draw alone: with the same ones
    everywhere, dropout would take the same places out of every rank's examples."""
    if not is_first():
        sequence = np.random.SeedSequence([seed, int(os.environ["RANK"])])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))


def join(device: str) -> str:
    """Meet the other processes, and return this one's device: the CPU, or on GPUs each its own.

    Raises `ColaError` if there are more processes than GPUs on this machine, or under DeepSpeed.
    """
    if count() == 1:
        return device
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
        _refuse("The run was launched with DeepSpeed, under which a knot cannot merge; expected DDP or FSDP2.")
    # The run shards its model itself; accelerate would share out the adapter, too.
    if os.environ.pop("ACCELERATE_USE_FSDP", "false").lower() == "true":
        _refuse("The run was launched with accelerate's FSDP; launch it without, and give the run --shard.")
    here, there = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if device != "cpu" and here > there:
        _refuse(f"The run has {here} processes on a machine with {there} GPUs; expected one for each.")
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu")
    return device if device == "cpu" else str(state.device)


def _refuse(sentence: str) -> NoReturn:
    """Of the processes of one machine, which are refused alike, the first says why."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        raise ColaError(sentence)
    raise SystemExit(2)


def leave() -> None:
    """Part from the others, once the run is over."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def by_first(action: Callable[[], T]) -> T:
    """What ``action`` gives when rank 0 does it, on every rank, while the others wait.

    If it raises a `ColaError`, rank 0 does, and the others end without a word.
    """
    if count() == 1:
        return action()
    said: list[Any] = [None]
    if is_first():
        try:
            said[0] = action()
        except ColaError as error:
            said[0] = error
    distributed.broadcast_object_list(said, src=0)
    if isinstance(said[0], ColaError):
        if is_first():
            raise said[0]
        raise SystemExit(2)
    answer: T = said[0]
    return answer


def of_all(value: T) -> list[T]:
    """Every rank's value, in their order, on every rank."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    distributed.all_gather_object(values, value)
    return values
