"""One adapted linear layer and what its chain has added to it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from operator import and_, xor
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.hooks import RemovableHandle

from colarepro.chain.first import draw_link
from colarepro.chain.links import refuse_tied
from colarepro.chain.sharded import is_regular, is_sharded, made_whole, over_parts, own, own_block, whole
from colarepro.errors import ColaError, NotFiniteError

_MERGEABLE = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Factors:
    """A low-rank update ``B @ A`` with every scaling multiplied into B; ``bias`` only with PEFT's ``lora_bias``.

    A is (rank, in), B is (out, rank), bias is (out,), all at least float32.
    """

    A: Tensor
    B: Tensor
    bias: Tensor | None = None

    @property
    def rank(self) -> int:
        """The number of rows of A; the product's rank is at most this."""
        return self.A.shape[0]

    def product(self) -> Tensor:
        """The update as a matrix, (out, in)."""
        with full_precision(self.A.device.type):
            return self.B @ self.A

    def followed_by(self, later: "Factors") -> "Factors":
        """The sum of two updates, of summed rank; never of more than min(out, in), so memory stays bounded."""
        A, B = torch.cat([self.A, later.A]), torch.cat([self.B, later.B], dim=1)
        bias = self.bias if later.bias is None else later.bias if self.bias is None else self.bias + later.bias
        outputs, inputs = B.shape[0], A.shape[1]
        if A.shape[0] > min(outputs, inputs):
            product, identity = Factors(A, B).product(), torch.eye(min(outputs, inputs), dtype=A.dtype)
            A, B = (product, identity) if outputs <= inputs else (identity, product)
        return Factors(A, B, bias)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Factors":
        """The same factors with ``function`` applied to each tensor."""
        return Factors(function(self.A), function(self.B), None if self.bias is None else function(self.bias))


class Target:
    """A LoRA layer of PEFT in a chain.

    The layer computes with ``original + past``, either merged into its weight or, stacked, with ``past`` as frozen
    factors beside it. Merged, the weight is a pure function of the two, summed in float32 or better and cast once:
    nothing drifts over many knots, a knot can be undone exactly, and a checkpoint needs the small factors only. The
    original is copied to host memory at the first knot, in its own dtype; before that a chain costs what LoRA costs.
    """

    def __init__(self, name: str, layer: LoraLayer, adapter: str, *, stacked: bool) -> None:
        self.name = name
        self.layer = layer
        self.adapter = adapter
        self.stacked = stacked
        self.past: Factors | None = None
        self._original: Tensor | None = None
        self._original_bias: Tensor | None = None
        self._hook: RemovableHandle | None = None
        # Ranks hash a sharded weight together; later one of them may save alone.
        sharded = is_sharded(layer.get_base_layer().weight)
        self._fingerprint = self._hash(layer.get_base_layer().weight) if sharded else None

    def check_mergeable(self, remedy: str) -> None:
        """Raise `ColaError`, which ends in ``remedy``, unless an update can be added to the weight itself."""
        layer, weight = self.layer, self.layer.get_base_layer().weight
        if not isinstance(layer, LoraLinear) or not is_plain(own(weight)) or not is_regular(weight):
            raise ColaError(
                f"{self.name} has a quantised or oddly sharded weight ({type(weight).__name__} of {weight.dtype}),"
                f" into which nothing merges exactly; {remedy}."
            )
        if hasattr(weight, "ds_id"):
            raise ColaError(f"{self.name} is partitioned by ZeRO-3, where a knot cannot merge; use ZeRO-2 or less.")

    def check_free(self) -> None:
        """Raise `ColaError` if another chain's past is stacked beside the weight."""
        if getattr(self.layer.get_base_layer(), "past_A", None) is not None:
            raise ColaError(f"{self.name} still computes with another chain's past; expected a model built anew.")

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The link's own parameters, whose identity never changes."""
        return [*self.layer.lora_A[self.adapter].parameters(), *self.layer.lora_B[self.adapter].parameters()]

    @property
    def rank(self) -> int:
        """Rank of the current link."""
        return self.layer.r[self.adapter]

    @property
    def fingerprint(self) -> int | None:
        """A hash of the original weight; None over a quantised one."""
        if self._fingerprint is not None:
            return self._fingerprint
        return self._hash(self.layer.get_base_layer().weight if self._original is None else self._original)

    def _hash(self, weight: Tensor) -> int | None:
        part = own(weight.detach())
        if not is_plain(part):
            return None
        own_hash = int(torch.hash_tensor(part).view(torch.int64)) if part.numel() else 0
        return over_parts(weight, own_hash, xor)  # PyTorch's hash of a whole is the XOR of its parts', too

    def link(self) -> Factors:
        """The current link's factors on the host, copied."""
        lora_A, lora_B = self.layer.lora_A[self.adapter], self.layer.lora_B[self.adapter]
        link = Factors(lora_A.weight, lora_B.weight, lora_B.bias).map(whole).map(_on_host)
        scaling = self.layer.scaling[self.adapter]
        return replace(link, B=link.B * scaling, bias=None if link.bias is None else link.bias * scaling)

    def total(self) -> Factors:
        """Past links and the current one."""
        return self.link() if self.past is None else self.past.followed_by(self.link())

    @torch.no_grad()
    def fold(self, past: Factors | None) -> None:
        """Make ``past`` the sum of the past links, and the layer compute with it.

        Raises `NotFiniteError` if the merged weight is not finite in the weight's dtype; the caller folds back.
        """
        if self.stacked:
            self._stack(past)
        else:
            base = self.layer.get_base_layer()
            weight, bias = self.merged(past)
            if not over_parts(base.weight, bool(torch.isfinite(weight).all()), and_):
                raise NotFiniteError(
                    f"Merging into {self.name} overflows {weight.dtype}; use fold='stack' or a wider dtype."
                )
            own(base.weight.detach()).copy_(weight)
            if bias is not None:
                own(base.bias.detach()).copy_(bias)
        self.past = past

    def merged(self, update: Factors | None) -> tuple[Tensor, Tensor | None]:
        """The original weight and bias plus an update: summed in float32 or better, cast once to their dtypes.

        Of a sharded weight each rank computes its own part, from the factors' rows and columns that it needs.
        """
        self._remember_original()
        base = self.layer.get_base_layer()
        original, original_bias = self._original, self._original_bias
        assert original is not None
        if update is None:
            return original, original_bias
        update = update.map(lambda part: part.to(base.weight.device))
        # GPT-2's Conv1D keeps its weight as (in, out).
        turned, block = getattr(self.layer, "fan_in_fan_out", False), own_block(base.weight)
        outputs, inputs = reversed(block) if turned else block
        delta = Factors(update.A[:, inputs], update.B[outputs]).product()
        delta = delta.T if turned else delta
        # Cast there, not here: a copy to another device casts where it comes from, on the host's few cores.
        weight = (original.to(delta.device).to(delta.dtype) + delta).to(original.dtype)
        bias = original_bias
        if bias is not None and update.bias is not None:
            bias = (bias.to(update.bias) + update.bias[own_block(base.bias)]).to(bias.dtype)
        return weight, bias

    def _remember_original(self) -> None:
        if self._original is None:
            base = self.layer.get_base_layer()
            self._original = own(base.weight.detach()).to("cpu", copy=True)
            if getattr(base, "bias", None) is not None and self.layer.lora_bias[self.adapter]:
                self._original_bias = own(base.bias.detach()).to("cpu", copy=True)

    def check_rank(self, rank: int) -> None:
        """Raise `ColaError` if the layer is too small for a link of this rank."""
        outputs, inputs = self.layer.lora_B[self.adapter].out_features, self.layer.lora_A[self.adapter].in_features
        if rank > min(outputs, inputs):
            raise ColaError(f"Rank {rank} is more than {self.name} can hold, whose weight is {outputs} × {inputs}.")

    def resize(self, rank: int) -> None:
        """Give the link another rank; the parameters stay the same objects, their values are then undefined."""
        layer, adapter = self.layer, self.adapter
        lora_A, lora_B = layer.lora_A[adapter], layer.lora_B[adapter]
        if lora_A.weight.shape[0] != rank:
            _reshape(lora_A.weight, (rank, lora_A.in_features))
            _reshape(lora_B.weight, (lora_B.out_features, rank))
        lora_A.out_features = lora_B.in_features = layer.r[adapter] = rank
        layer.scaling[adapter] = layer.lora_alpha[adapter] / (rank**0.5 if layer.use_rslora[adapter] else rank)

    @torch.no_grad()
    def restart(self, config: LoraConfig, first_A: Tensor | None) -> None:
        """Initialize the link as PEFT does (B zero), with A from ``first_A``'s leading rows if it is given."""
        with self.whole_link():
            draw_link(self.layer, self.adapter, config.init_lora_weights)
            if first_A is not None:
                self.layer.lora_A[self.adapter].weight.copy_(first_A[: self.rank])
        for parameter in self.parameters:
            parameter.grad = None  # a gradient of the link that has just ended

    def whole_link(self) -> AbstractContextManager[None]:
        """Within the block the link's parameters are whole, to be set alike on every rank."""
        return made_whole([self.layer.lora_A[self.adapter], self.layer.lora_B[self.adapter]])

    def _stack(self, past: Factors | None) -> None:
        """Let the base layer add ``past`` to its output. Buffers move with the model, and no state dict has them."""
        base = self.layer.get_base_layer()
        device = self.layer.lora_A[self.adapter].weight.device
        for part, value in (("A", None), ("B", None), ("bias", None)) if past is None else vars(past).items():
            base.register_buffer(f"past_{part}", None if value is None else value.to(device), persistent=False)
        if past is not None and self._hook is None:
            self._hook = base.register_forward_hook(_add_past)
        elif past is None and self._hook is not None:
            self._hook.remove()
            self._hook = None


def targets_of(model: nn.Module, adapter: str, *, stacked: bool = False) -> list[Target]:
    """Every layer that ``adapter`` adapts."""
    return [
        Target(name, module, adapter, stacked=stacked)
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer) and adapter in module.lora_A
    ]


def check_mergeable(model: nn.Module, targets: Sequence[Target], remedy: str) -> None:
    """Raise `ColaError`, which ends in ``remedy``, unless updates can be added to all these weights themselves."""
    for target in targets:
        target.check_mergeable(remedy)
    refuse_tied(model, {target.name: target.layer for target in targets}, remedy)


def _add_past(base: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    past = linear(linear(inputs[0].to(base.past_A.dtype), base.past_A), base.past_B, base.past_bias)
    return (output + past).to(output.dtype)


def is_plain(weight: Tensor) -> bool:
    """Whether a weight is an ordinary floating-point tensor, neither quantised nor sharded."""
    packed = hasattr(weight, "quant_state")  # bitsandbytes can keep its bytes in a tensor of any dtype
    return weight.dtype in _MERGEABLE and type(weight.data) is Tensor and not packed


def _on_host(part: Tensor) -> Tensor:
    return part.detach().to("cpu", torch.promote_types(part.dtype, torch.float32), copy=True)


def _reshape(parameter: nn.Parameter, shape: Sequence[int]) -> None:
    # Assigning `.data` would leave an old graph's accumulator expecting the old shape.
    new = nn.Parameter(parameter.new_zeros(shape), requires_grad=parameter.requires_grad)
    torch.utils.swap_tensors(parameter, new)


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """No TF32 or autocast products, which many training scripts switch on."""
    # Not by `set_float32_matmul_precision`, which raises once a script has used these.
    backends: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
