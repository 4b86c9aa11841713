"""Links of any other PEFT method: at a knot PEFT merges the link itself and builds the next on the merged weights."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor, nn

from colarepro.chain.links import Links, refuse_tied, seeded
from colarepro.chain.schedule import Schedule
from colarepro.chain.standing import Standing
from colarepro.chain.target import full_precision, is_plain
from colarepro.errors import ColaError, NotFiniteError

BASE = "base_model.model."
"""Where a PEFT model keeps the model that it adapts; a method's shared tensors lie beside it."""
TOLERANCE = 1e-5
"""How far, relative to its norm, a new link may move a merged weight; decompositions in float32 move it by 1e-6."""


class RebuiltLinks(Links):
    """DoRA, PiSSA, OLoRA, LoHa, LoKr, OFT and all else that PEFT can merge, without a line for any of them.

    Every link is built by the adapter's own configuration on the weights that the links before it left: PiSSA
    decomposes them anew, DoRA takes their norms. A checkpoint holds the adapted layers' weights, since no small
    factors give them back.

    Raises `ColaError` where PEFT would round at every knot (weights narrower than float32, quantised or sharded), if
    targets are tied, and if the model has more adapters than one.
    """

    kind = "rebuilt"

    def __init__(self, model: Any, adapter: str, schedule: Schedule) -> None:
        super().__init__(model, adapter, schedule)
        if not isinstance(model.base_model, BaseTuner) or not self.layers:
            raise ColaError(f"{self._method} adapts no layer of the model, so a knot has nothing to merge.")
        if len(model.peft_config) > 1:
            raise ColaError(f"The model has the adapters {', '.join(model.peft_config)}; expected {adapter} alone.")
        if schedule.initialization == "same":
            raise ColaError(f"initialization='same' keeps LoRA's first A, but {self._method} builds every link anew.")
        if schedule.ranks and not self.rank:
            raise ColaError(f"The schedule gives a rank to every link, but {self._method} has none.")
        if schedule.ranks and any(getattr(self.config, name, None) for name in ("rank_pattern", "alpha_pattern")):
            raise ColaError("The schedule gives a rank to every link, so expected an adapter without rank_pattern.")
        if schedule.fold != "none":
            self._check_weights()
        self._names = list(self.layers)
        self._inside = tuple(
            f"{name}."
            for name, module in model.named_modules()
            if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper))
        )
        self._fingerprints = {name: _hashes(layer.get_base_layer()) for name, layer in self.layers.items()}

    @property
    def layers(self) -> dict[str, BaseTunerLayer]:
        return {name: module for name, module in self.model.named_modules() if isinstance(module, BaseTunerLayer)}

    @property
    def parameters(self) -> dict[str, list[nn.Parameter]]:
        """What a method shares between layers is under the name of PEFT's own model."""
        shared = [parameter for name, parameter in self.model.named_parameters() if not name.startswith(BASE)]
        found = {"base_model": shared} if shared else {}
        for name, layer in self.layers.items():
            base = {id(parameter) for parameter in layer.get_base_layer().parameters()}
            found[name] = [parameter for parameter in layer.parameters() if id(parameter) not in base]
        return found

    @property
    def rank(self) -> int | None:
        return getattr(self.config, "r", None)

    @property
    def fingerprints(self) -> dict[str, list[int]]:
        return self._fingerprints

    def check_future(self) -> None:
        """Ties a knot to every coming rank and takes it back, so that what PEFT cannot do is known before training."""
        if self.schedule.fold == "none" or self.schedule.links == 1:
            return
        self.check_active()
        names = set(self._named_parameters())
        for rank in dict.fromkeys(self.schedule.ranks[1:] or (None,)):
            standing = Standing(self.model)
            try:
                with self._peft():
                    self._merge()
                    merged = {name: weight.clone() for name, weight in self._base_weights()}
                    self._build(rank, seed=0, link=0)
                    if set(self._named_parameters()) != names:
                        raise ColaError(f"{self._method} has other tensors at rank {rank}, so its rank cannot change.")
                    self.model.base_model.merge_adapter()
                    self._check_same(merged)
            finally:
                standing.put_back()

    def advance(self, link: int, seed: int) -> None:
        standing = Standing(self.model)
        with self._same_parameters():
            try:
                with self._peft():
                    self._merge()
                    self._build(self._rank_of(link), seed, link)
            except BaseException:
                standing.put_back()
                raise

    def state(self) -> dict[str, Tensor]:
        return {
            name: tensor.detach().clone()  # safetensors refuses tensors that share memory
            for name, tensor in self.model.state_dict(keep_vars=True).items()
            if name.startswith(self._inside) or not name.startswith(BASE) or tensor.requires_grad
        }

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], link: int, seed: int) -> None:
        """Builds the link anew on its own base weights first, for methods that keep more than tensors."""
        own = {name for name in self._named_parameters() if name.startswith(self._inside) or not name.startswith(BASE)}
        if missing := own - tensors.keys():
            raise ColaError(f"The checkpoint was made with another adapter than this model has: no {min(missing)}.")
        with self._same_parameters(), self._peft():
            self.model.base_model.unload()
            for name, weight in self._base_weights():
                weight.copy_(tensors[name])
            self._build(self._rank_of(link), seed, link)
        self.model.load_state_dict(tensors, strict=False)

    def delta(self, name: str) -> Tensor:
        raise ColaError(f"The update of {name} is no product of two factors here; export_merged gives the weights.")

    @contextmanager
    def merged(self) -> Iterator[Any]:
        """The base model with all links merged; afterwards the current link is back in its place."""
        standing = Standing(self.model)
        try:
            with self._peft():
                base = self._merge()
            yield base
        finally:
            standing.put_back()

    @property
    def _method(self) -> str:
        return f"PEFT's {self.config.peft_type.value}"

    def _rank_of(self, link: int) -> int | None:
        return self.schedule.ranks[link] if self.schedule.ranks else None

    def _named_parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.model.named_parameters(remove_duplicate=False))

    def _base_weights(self) -> Iterator[tuple[str, Tensor]]:
        """The adapted layers' own weights, by the names that they have inside an adapter, be there one or not."""
        for name in self._names:
            layer = self.model.get_submodule(name)
            base = layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer
            yield from ((f"{name}.base_layer.{key}", weight) for key, weight in base.state_dict().items())

    def _merge(self) -> Any:
        base = self.model.base_model.merge_and_unload(safe_merge=True)
        for name, weight in self._base_weights():
            if not bool(torch.isfinite(weight).all()):
                raise NotFiniteError(f"Merging the link gives a NaN or an infinity in {name}; the knot was not tied.")
        return base

    def _build(self, rank: int | None, seed: int, link: int) -> None:
        """Put a new link, as PEFT starts it, on a model that has none."""
        config, tuner = copy.copy(self.config), self.model.base_model
        if rank is not None:
            config.r = rank
        with seeded(seed, link):
            self.model.base_model = type(tuner)(tuner.model, {self.adapter: config}, self.adapter)
        self.model.train(self.model.training)

    @contextmanager
    def _same_parameters(self) -> Iterator[None]:
        """What the block builds anew lives in the old Parameter objects afterwards, by name; those frozen stay so."""
        before = self._named_parameters()
        trained = {name: parameter.requires_grad for name, parameter in before.items()}
        yield
        filled: set[int] = set()
        for name, new in self._named_parameters().items():
            old = before[name]
            if old is not new and id(old) not in filled:
                _fill(old, new)
                filled.add(id(old))
            self._put(name, old)
            old.requires_grad_(trained[name])

    def _put(self, name: str, parameter: nn.Parameter) -> None:
        owner, _, leaf = name.rpartition(".")
        self.model.get_submodule(owner).register_parameter(leaf, parameter)

    @contextmanager
    def _peft(self) -> Iterator[None]:
        """PEFT at work: in full precision, without repeating its warnings, its errors as one sentence."""
        try:
            with warnings.catch_warnings(), full_precision(next(self.model.parameters()).device.type):
                warnings.simplefilter("ignore")
                yield
        except ColaError:
            raise
        except Exception as error:
            reason = str(error).split(". ")[0].rstrip(".") or type(error).__name__
            raise ColaError(f"{self._method} cannot be a link of a chain here, as PEFT says: {reason}.") from error

    def _check_weights(self) -> None:
        for name, layer in self.layers.items():
            for weight in layer.get_base_layer().parameters():
                wide = weight.dtype in (torch.float32, torch.float64)
                if not wide or not is_plain(weight) or hasattr(weight, "ds_id"):
                    raise ColaError(
                        f"{name} has a {type(weight).__name__} of {weight.dtype}, into which {self._method} would "
                        "round at every knot; expected plain float32 weights."
                    )
        refuse_tied(self.model, self.layers, "leave it out of target_modules")

    def _check_same(self, merged: dict[str, Tensor]) -> None:
        for name, weight in self._base_weights():
            if (weight - merged[name]).norm() > TOLERANCE * merged[name].norm():
                raise ColaError(f"A new link of {self._method} does not start from the merged weight of {name}.")


def _hashes(base: nn.Module) -> list[int]:
    """Of the frozen weights; a trained bias is no base weight."""
    frozen = [weight.detach() for weight in base.parameters() if not weight.requires_grad]
    return [int(torch.hash_tensor(weight).view(torch.int64)) for weight in frozen]


@torch.no_grad()
def _fill(old: nn.Parameter, new: nn.Parameter) -> None:
    """Let ``old`` hold what ``new`` holds, hooks included."""
    if old.shape == new.shape and not new._backward_hooks:
        old.copy_(new)  # the very tensor that DistributedDataParallel knows
    else:
        torch.utils.swap_tensors(old, new)
    old.grad = None  # a gradient of the link that has just ended
