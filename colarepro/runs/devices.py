"""Where runs are computed."""

import gc
import os

import torch

from colarepro.errors import ColaError


def devices(name: str) -> list[str]:
    """The devices that a user's word names: ``auto`` is every GPU, or the CPU where there is none.

    Raises `ColaError` for what is no device, or is not here.
    """
    there = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if name == "auto":
        return there or ["cpu"]
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ColaError(f"'{name}' is no device; expected cpu, cuda, or cuda and a number.") from None
    if device.type == "cuda" and (f"cuda:{device.index or 0}" not in there):
        raise ColaError(f"The device '{name}' was asked for, but torch sees {len(there) or 'no'} CUDA devices here.")
    return [f"cuda:{device.index or 0}" if device.type == "cuda" else name]


def tidy(device: str) -> None:
    """Give back what a run or a fleet had of a GPU's memory; its parts know each other, so they do not go by
    themselves."""
    if device.startswith("cuda"):
        gc.collect()
        torch.cuda.empty_cache()


def confine(device: str) -> str:
    """Let this process see one GPU alone, and return what it calls it; it must not have touched any yet.

    Where it sees several, transformers' Trainer takes the first, and spreads every batch over all of them.
    """
    if not device.startswith("cuda"):
        return device
    number = int(device.partition(":")[2] or 0)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = seen.split(",")[number] if seen else str(number)
    return "cuda:0"
