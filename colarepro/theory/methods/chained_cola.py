"""COLA through `colarepro.chain` and PEFT, the code that the language-model half runs, one seed after the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from colarepro.chain import Chain, Schedule
from colarepro.errors import ColaError
from colarepro.theory.method import Method
from colarepro.theory.methods.descent import Descent, GradientDescent, squared_norm_bound
from colarepro.theory.methods.streams import Streams, check_draw
from colarepro.theory.problem import Problem, check_rank
from colarepro.theory.state import State


class _Model(nn.Module):
    """One linear layer, named so that PEFT can target it."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        m, n = weight.shape
        self.linear = nn.Linear(n, m, bias=False, dtype=weight.dtype)
        self.linear.weight.data.copy_(weight)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.linear(inputs)
        return output


@dataclass
class Run:
    """One seed's model: PEFT's LoRA ``layer``, its trained ``factors`` A and B, the optimizer and the chain."""

    layer: Any
    factors: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    chain: Chain

    def weight(self, identity: Tensor) -> Tensor:
        """W (m, n): the layer's output on the identity is its transpose."""
        output: Tensor = self.layer(identity)
        return output.T


@dataclass(kw_only=True)
class ChainedState(State):
    runs: list[Run]
    streams: Streams
    identity: Tensor


@dataclass(frozen=True, kw_only=True)
class ChainedCola(Method[ChainedState]):
    """What `Cola` computes for all seeds at once, here by a PEFT model and a chain for each seed.

    The problem's gradient in W flows back through PEFT's own forward pass. Only the draws of A are not PEFT's but
    those of `Cola`, so that the two can be held equal.
    """

    length: int = 4
    initialization: Literal["fresh", "same"] = "fresh"
    rank: int = 1
    draw: str = "uniform"
    descent: Descent = field(default_factory=GradientDescent)
    name: ClassVar[str] = "chained-cola"

    def init(self, problem: Problem, steps: int, seeds: Sequence[int]) -> ChainedState:
        check_rank(self.rank, problem.shape)
        check_draw(self.draw)
        streams = Streams(seeds)
        first = streams.draw_A(self.draw, self.rank, problem.shape[1])
        schedule = Schedule(length=self.length, initialization=self.initialization)
        runs = []
        for seed, start, A in zip(seeds, problem.start, first, strict=True):
            config = LoraConfig(r=self.rank, lora_alpha=self.rank, target_modules=["linear"])
            with torch.random.fork_rng(devices=[]):  # PEFT draws from the global generator
                model = get_peft_model(_Model(start), config)
            layer = model.base_model.model.linear
            factors = [layer.lora_A["default"].weight, layer.lora_B["default"].weight]
            factors[0].data.copy_(A)
            optimizer = self.descent.optimizer(factors)
            runs.append(
                Run(
                    layer, factors, optimizer, Chain(model, schedule, total_steps=steps, optimizer=optimizer, seed=seed)
                )
            )
        identity = torch.eye(problem.shape[1], dtype=torch.float64)
        return ChainedState(runs=runs, streams=streams, identity=identity)

    def step(self, problem: Problem, state: ChainedState) -> ChainedState:
        weights = [run.weight(state.identity) for run in state.runs]
        gradients = problem.gradient(torch.stack([weight.detach() for weight in weights]))
        state.saw(gradients, problem.gradient_flops)
        links = [run.chain.link for run in state.runs]
        for position, (run, weight, gradient) in enumerate(zip(state.runs, weights, gradients, strict=True)):
            weight.backward(gradient)
            if isinstance(self.descent, GradientDescent):
                smoothness = float(problem.smoothness[position])
                if self.descent.smoothness == "local":
                    squares = sum(float(squared_norm_bound(factor.detach()[None])) for factor in run.factors)
                    smoothness = smoothness * squares + float(gradient.norm())
                run.optimizer.param_groups[0]["lr"] = self.descent.factor / smoothness
            run.optimizer.step()
            try:
                run.chain.step()
            except ColaError:  # a chain refuses to merge an update that is not finite; here that is a result
                if bool(torch.isfinite(run.weight(state.identity)).all()):
                    raise
                assert state.last_gradient_norm is not None
                state.last_gradient_norm[position] = math.inf
            run.optimizer.zero_grad()
        tied = any(run.chain.link != link for run, link in zip(state.runs, links, strict=True))
        if self.initialization == "fresh" and tied:
            fresh = state.streams.draw_A(self.draw, self.rank, problem.shape[1])
            for run, A in zip(state.runs, fresh, strict=True):
                run.factors[0].data.copy_(A)
        return state

    def postprocess(self, problem: Problem, state: ChainedState) -> Tensor:
        with torch.no_grad():
            return torch.stack([run.weight(state.identity) for run in state.runs])

    def config(self) -> dict[str, Any]:
        return {**super().config(), "optimizer": self.descent.kind}
