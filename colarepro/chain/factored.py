"""Links whose update is a product of two factors: plain LoRA and rsLoRA, folded in place and exactly."""

from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from colarepro.chain.links import Links, seeded
from colarepro.chain.schedule import Schedule
from colarepro.chain.sharded import is_sharded, reshard, set_whole, whole
from colarepro.chain.target import Factors, check_mergeable, targets_of
from colarepro.errors import ColaError


class FactoredLinks(Links):
    """Past links are kept as factors beside the original weight, into which their sum is merged, rounded once.

    Trained parameters beside the links (a head, biases) are none of a knot's business, but are kept with them.

    Raises `ColaError` where a knot could not be exact: a quantised or irregularly sharded base, tied targets (merged
    only); and on a model that computes with another chain's stacked past.
    """

    kind = "factored"

    def __init__(self, model: Any, adapter: str, schedule: Schedule) -> None:
        super().__init__(model, adapter, schedule)
        reshard(model)
        self.targets = targets_of(model, adapter, stacked=schedule.fold == "stack")
        for target in self.targets:
            target.check_free()
        if schedule.fold == "merge" and schedule.links > 1:
            check_mergeable(model, self.targets, "leave it out of target_modules or use fold='stack'")
        if schedule.ranks and (self.config.rank_pattern or self.config.alpha_pattern):
            raise ColaError("The schedule gives a rank to every link, so expected a LoraConfig without rank_pattern.")
        if super().sharded and (schedule.ranks or schedule.reset == "prune"):
            raise ColaError("The adapter itself is sharded, so expected links of one rank and reset='drop'.")
        self._first_A: dict[str, Tensor] = {}

    @property
    def layers(self) -> dict[str, BaseTunerLayer]:
        return {target.name: target.layer for target in self.targets}

    @property
    def parameters(self) -> dict[str, list[nn.Parameter]]:
        return {target.name: target.parameters for target in self.targets}

    @property
    def sharded(self) -> bool:
        return super().sharded or any(map(is_sharded, self._beside().values()))

    @property
    def rank(self) -> int | None:
        return self.targets[0].rank

    @property
    def fingerprints(self) -> dict[str, int | None]:
        return {target.name: target.fingerprint for target in self.targets}

    def check_future(self) -> None:
        """Also keeps the first link's A, if all links are to start from it."""
        ranks = self.schedule.ranks
        for target in self.targets:
            for rank in ranks:
                target.check_rank(rank)
        if self.schedule.initialization == "same":
            self._first_A = {target.name: target.link().A for target in self.targets}

    def advance(self, link: int, seed: int) -> None:
        self._fold([target.total() for target in self.targets])
        ranks = self.schedule.ranks
        if ranks:
            self.config.r = ranks[link]
        with seeded(seed, link):
            for target in self.targets:
                if ranks:
                    target.resize(ranks[link])
                target.restart(self.config, self._first_A.get(target.name))

    def state(self) -> dict[str, Tensor]:
        tensors = {name: whole(parameter.detach()) for name, parameter in self._beside().items()}
        for target in self.targets:
            link = target.layer.lora_A[self.adapter].weight, target.layer.lora_B[self.adapter].weight
            parts = {"link.A": link[0], "link.B": link[1], "link.bias": target.layer.lora_B[self.adapter].bias}
            if target.past is not None:
                parts |= {"past.A": target.past.A, "past.B": target.past.B, "past.bias": target.past.bias}
            if target.name in self._first_A:
                parts["first.A"] = self._first_A[target.name]
            tensors |= {f"{target.name}|{key}": whole(part.detach()) for key, part in parts.items() if part is not None}
        return tensors

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], link: int, seed: int) -> None:
        beside = self._beside()
        if missing := beside.keys() - tensors.keys():
            raise ColaError(f"The checkpoint holds no {min(missing)}, which is trained here beside the adapter.")
        pasts: list[Factors | None] = []
        for target in self.targets:
            past = [tensors.get(f"{target.name}|past.{part}") for part in ("A", "B", "bias")]
            pasts.append(None if past[0] is None or past[1] is None else Factors(past[0], past[1], past[2]))
        self._fold(pasts)
        for target in self.targets:
            target.resize(tensors[f"{target.name}|link.A"].shape[0])
            lora_A, lora_B = target.layer.lora_A[self.adapter], target.layer.lora_B[self.adapter]
            with target.whole_link():
                lora_A.weight.copy_(tensors[f"{target.name}|link.A"])
                lora_B.weight.copy_(tensors[f"{target.name}|link.B"])
                if lora_B.bias is not None:
                    lora_B.bias.copy_(tensors[f"{target.name}|link.bias"])
            if target.name in self._first_A:
                self._first_A[target.name] = tensors[f"{target.name}|first.A"]
        for name, parameter in beside.items():
            set_whole(parameter, tensors[name])
        if self.schedule.ranks:
            self.config.r = self.schedule.ranks[link]

    def delta(self, name: str) -> Tensor:
        found = [target for target in self.targets if f".{target.name}".endswith(f".{name}")]
        if len(found) > 1:
            raise ColaError(f"'{name}' is the end of {len(found)} targets' names; expected one's, as {found[0].name}.")
        if not found:
            raise ColaError(f"The chain has no target '{name}'; it has {', '.join(self.layers)}.")
        return found[0].total().product()

    def _beside(self) -> dict[str, nn.Parameter]:
        """What is trained and is no link's."""
        own = {id(parameter) for target in self.targets for parameter in target.parameters}
        named = self.model.named_parameters()
        return {name: parameter for name, parameter in named if parameter.requires_grad and id(parameter) not in own}

    def _fold(self, pasts: list[Factors | None] | list[Factors]) -> None:
        """Give every target its past, or, if one refuses, leave all as they were."""
        reshard(self.model)
        before = [target.past for target in self.targets]
        changed = 0
        try:
            for target, past in zip(self.targets, pasts, strict=True):
                changed += 1
                target.fold(past)
        except BaseException:
            for target, past in zip(self.targets[:changed], before, strict=False):
                target.fold(past)
            raise
