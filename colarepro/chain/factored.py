"""Links whose update is a product of two factors: plain LoRA and rsLoRA, folded in place and exactly."""

from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from colarepro.chain.links import Links, seeded
from colarepro.chain.schedule import Schedule
from colarepro.chain.sharded import reshard, whole
from colarepro.chain.target import Factors, targets_of
from colarepro.errors import ColaError


class FactoredLinks(Links):
    """Past links are kept as factors beside the original weight, into which their sum is merged, rounded once.

    Raises `ColaError` where a knot could not be exact: a quantised or sharded base, tied targets (merged only).
    """

    kind = "factored"

    def __init__(self, model: Any, adapter: str, schedule: Schedule) -> None:
        super().__init__(model, adapter, schedule)
        reshard(model)
        self.targets = targets_of(model, adapter, schedule.fold)
        if schedule.ranks and (self.config.rank_pattern or self.config.alpha_pattern):
            raise ColaError("The schedule gives a rank to every link, so expected a LoraConfig without rank_pattern.")
        if self.sharded and (schedule.ranks or schedule.reset == "prune"):
            raise ColaError("The adapter itself is sharded, so expected links of one rank and reset='drop'.")
        self._first_A: dict[str, Tensor] = {}

    @property
    def layers(self) -> dict[str, BaseTunerLayer]:
        return {target.name: target.layer for target in self.targets}

    @property
    def parameters(self) -> dict[str, list[nn.Parameter]]:
        return {target.name: target.parameters for target in self.targets}

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
        tensors: dict[str, Tensor] = {}
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
        if self.schedule.ranks:
            self.config.r = self.schedule.ranks[link]

    def delta(self, name: str) -> Tensor:
        for target in self.targets:
            if target.name == name or target.name.endswith(f".{name}"):
                return target.total().product()
        raise ColaError(f"The chain has no target '{name}'; it has {', '.join(self.layers)}.")

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
