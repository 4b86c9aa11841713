"""What training costs: FLOPs by formula and as PyTorch counts them, activations, and a process's memory."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode
from transformers.pytorch_utils import Conv1D

LENGTHS = (16, 32, 48)
"""Three lengths determine what grows with length and its square."""


@dataclass
class Fed:
    """What training has fed to a model. A row is a sequence; ``squares`` sums rows x length²."""

    rows: int = 0
    positions: int = 0
    """Rows x length, padding included."""
    squares: int = 0
    tokens: int = 0
    """Without padding."""
    positions_by_trained: dict[str, int] = field(default_factory=dict)
    """Positions by the number of trained weights in products, which a rank step-down changes."""

    def add(self, rows: int, length: int, tokens: int, trained: int = 0) -> None:
        """Count one batch of so many rows, padded to ``length``."""
        self.rows += rows
        self.positions += rows * length
        self.squares += rows * length**2
        self.tokens += tokens
        key = str(trained)  # as JSON has it
        self.positions_by_trained[key] = self.positions_by_trained.get(key, 0) + rows * length

    def add_packed(self, lengths: np.ndarray, longest: int, trained: int) -> None:
        """Count prompts of these lengths, end to end; if attention spreads them out, to ``longest``, else 0."""
        tokens = int(lengths.sum())
        self.add(1, tokens, tokens, trained)
        self.rows += len(lengths) - 1
        self.squares += int((np.maximum(lengths, longest) ** 2).sum()) - tokens**2

    def __add__(self, other: "Fed") -> "Fed":
        sums = {name: value + getattr(other, name) for name, value in vars(self).items() if isinstance(value, int)}
        keys = dict.fromkeys([*self.positions_by_trained, *other.positions_by_trained])
        by_trained = {
            key: self.positions_by_trained.get(key, 0) + other.positions_by_trained.get(key, 0) for key in keys
        }
        return Fed(**sums, positions_by_trained=by_trained)

    @property
    def padding_share(self) -> float:
        """Share of the positions that held no token."""
        return 1 - self.tokens / max(self.positions, 1)


def product_weights(model: Any) -> list[Tensor]:
    """The weights of all linear layers but the output embedding, of which a few rows are needed at one position."""
    head = model.get_output_embeddings()
    return [m.weight for m in model.modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]


def trained_in_products(weights: Sequence[Tensor]) -> int:
    """How many entries of these weights are trained."""
    return sum(weight.numel() for weight in weights if weight.requires_grad)


def flops_by_formula(model: Any, fed: Fed) -> float:
    """Training FLOPs: 4 for every position and weight of a product (forward, and backward to its input), 2 more where
    the weight is trained, and 12 x length² x width a layer for attention's two products and their gradients.

    The lowest layer's products that need no gradient of their input count like the others: 0.5 % in a model of 24
    layers, 7 % in one of 2.
    """
    weights = product_weights(model)
    frozen = sum(weight.numel() for weight in weights) - trained_in_products(weights)
    products = sum(count * (4 * frozen + 6 * int(trained)) for trained, count in fed.positions_by_trained.items())
    return float(products + 12 * fed.squares * _attention_width(model))


def forward_flops_by_formula(model: Any, fed: Fed) -> float:
    """The same for predictions alone: 2 for every position and weight, 4 x length² x width a layer."""
    products = sum(weight.numel() for weight in product_weights(model))
    return float(2 * products * fed.positions + 4 * fed.squares * _attention_width(model))


def _attention_width(model: Any) -> int:
    """Width of a query, summed over the layers."""
    config = model.config.get_text_config()
    head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(head_width * config.num_attention_heads * config.num_hidden_layers)


@dataclass(frozen=True)
class Counted:
    """Of one row of a training step, as polynomials in its length (constant, linear, square): ``flops``, and
    ``activation_bytes`` that the backward pass needs, without those that fused attention recomputes."""

    flops: tuple[float, float, float]
    activation_bytes: tuple[float, float, float]
    trained: int
    """Weights of products that were trained while it was counted."""

    def flops_of(self, fed: Fed) -> float:
        """FLOPs of everything that training fed; links of other ranks by what a trained weight costs, 6 a position."""
        constant, linear, square = self.flops
        others = sum(6 * (int(trained) - self.trained) * count for trained, count in fed.positions_by_trained.items())
        return constant * fed.rows + linear * fed.positions + square * fed.squares + others

    def activations_of(self, rows: int, length: int) -> float:
        """Bytes of activations for a batch."""
        constant, linear, _ = self.activation_bytes
        return rows * (constant + linear * length)


def count(model: Any) -> Counted:
    """Let PyTorch count the forward and backward pass of one row, on the meta device: nothing is computed.

    The model itself may live anywhere, and is not changed.
    """
    tensors = {
        name: torch.empty_like(tensor, device="meta", requires_grad=tensor.requires_grad)
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }
    flops, saved = [], []
    for length in LENGTHS:
        ids = torch.zeros(1, length, dtype=torch.long, device="meta")
        kept: dict[int, int] = {}
        own = {tensor.untyped_storage()._cdata for tensor in tensors.values()}
        with FlopCounterMode(display=False) as counter, _watched(kept):
            # A mask that is ready spares transformers from looking into one, which nobody can on meta.
            mask = torch.zeros(1, 1, length, length, dtype=torch.bool, device="meta")
            inputs = {"input_ids": ids, "position_ids": ids, "attention_mask": mask}
            options = {"logits_to_keep": 1, "use_cache": False}
            functional_call(model, tensors, args=(), kwargs=inputs | options).logits[..., :2].sum().backward()
        flops.append(counter.get_total_flops())
        saved.append(sum(size for storage, size in kept.items() if storage not in own))
    return Counted(_quadratic(flops), _quadratic(saved), trained_in_products(product_weights(model)))


def count_once(name: str, model: Any) -> Counted:
    """`count` of a model of this name, once for all that train tensors of the same names, shapes and dtypes: counting
    is slow, and most arms of a sweep do."""
    tensors = tuple((key, tuple(p.shape), p.dtype, p.requires_grad) for key, p in model.named_parameters())
    if (name, tensors) not in _counted:
        _counted[name, tensors] = count(model)
    return _counted[name, tensors]


_counted: dict[tuple[str, tuple[Any, ...]], Counted] = {}


@contextmanager
def _watched(kept: dict[int, int]) -> Any:
    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield


def _quadratic(values: Sequence[float]) -> tuple[float, float, float]:
    square, linear, constant = np.polyfit(LENGTHS, values, 2)
    return float(constant), float(linear), float(square)


def reset_peak(device: str) -> None:
    """Begin to measure peak memory anew, where the system lets us."""
    if device.startswith("cuda"):
        torch.cuda.init()  # the reset itself would not, and fails without
        torch.cuda.reset_peak_memory_stats(device)
    elif (reset := Path("/proc/self/clear_refs")).exists():
        reset.write_text("5")  # the resident set's high-water mark (proc(5))


def peak_bytes(device: str) -> float:
    """Peak memory since `reset_peak`: of PyTorch's tensors on a GPU, else of the whole process; NaN where unknown."""
    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    marks = [float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    return marks[0] if marks else float("nan")
