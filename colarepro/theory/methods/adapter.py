"""A problem's weight as an ``nn.Linear`` with a PEFT adapter: what LoRA and COLA train."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from colarepro.chain import Chain, Schedule
from colarepro.errors import ColaError
from colarepro.theory.method import Method, State
from colarepro.theory.methods.descent import Descent, GradientDescent
from colarepro.theory.problem import Problem, check_rank

INITIALIZATIONS = {"uniform": True, "gaussian": "gaussian"}  # as PEFT names them


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


@dataclass(kw_only=True)
class AdapterState(State):
    """``layer`` is PEFT's LoRA layer, ``factors`` its trained A and B, ``identity`` (n, n)."""

    layer: Any
    factors: list[Tensor]
    optimizer: torch.optim.Optimizer
    chain: Chain | None
    identity: Tensor


@dataclass(frozen=True, kw_only=True)
class AdapterMethod(Method[AdapterState]):
    """Train A (r, n) and B (m, r) in W0 + (alpha / r) B A, with PEFT's initialisation: A random, B zero.

    ``draw`` is the law of A: ``"uniform"`` on +-1/sqrt(n) (PEFT's default) or ``"gaussian"`` with standard
    deviation 1/r. alpha = r, so the scale is 1.
    """

    rank: int = 1
    draw: str = "uniform"
    descent: Descent = field(default_factory=GradientDescent)
    name: ClassVar[str] = "adapter"

    def schedule(self) -> Schedule | None:
        """The chain to tie, if there is one."""
        return None

    def init(self, problem: Problem, steps: int, seed: int) -> AdapterState:
        check_rank(self.rank, problem.shape)
        if self.draw not in INITIALIZATIONS:
            raise ColaError(f"Unknown draw {self.draw!r}; expected one of {', '.join(INITIALIZATIONS)}.")
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.rank,
            target_modules=["linear"],
            init_lora_weights=INITIALIZATIONS[self.draw],
        )
        with torch.random.fork_rng(devices=[]):  # PEFT draws A from the global generator
            torch.manual_seed(seed)
            model = get_peft_model(_Model(problem.start), config)
        factors = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = self.descent.optimizer(factors)
        schedule = self.schedule()
        chain = None if schedule is None else Chain(model, schedule, total_steps=steps, optimizer=optimizer, seed=seed)
        return AdapterState(
            layer=model.base_model.model.linear,
            factors=factors,
            optimizer=optimizer,
            chain=chain,
            identity=torch.eye(problem.shape[1], dtype=problem.start.dtype),
        )

    def step(self, problem: Problem, state: AdapterState) -> AdapterState:
        # The layer's output on the identity is W^T, so the problem's gradient flows back through PEFT's own
        # forward pass and any problem can be asked for its gradient in W alone.
        weight = state.layer(state.identity).T
        gradient = problem.gradient(weight.detach())
        state.saw(gradient)
        weight.backward(gradient)
        if isinstance(self.descent, GradientDescent):
            smoothness = problem.smoothness
            if self.descent.smoothness == "local":
                # The Frobenius norm of G stands for its spectral norm: no SVD a step, and it vanishes at the end.
                squares = sum(_squared_norm(factor.detach()) for factor in state.factors)
                smoothness = smoothness * squares + state.last_gradient_norm
            state.optimizer.param_groups[0]["lr"] = self.descent.factor / smoothness
        state.optimizer.step()
        if state.chain is not None:
            try:
                state.chain.step()
            except ColaError:  # a chain refuses to merge an update that is not finite; here that is a result
                if bool(torch.isfinite(self.postprocess(problem, state)).all()):
                    raise
                state.last_gradient_norm = math.inf
        state.optimizer.zero_grad()
        return state

    def postprocess(self, problem: Problem, state: AdapterState) -> Tensor:
        with torch.no_grad():
            weight: Tensor = state.layer(state.identity).T
            return weight.clone()

    def config(self) -> dict[str, Any]:
        return {**super().config(), "optimizer": self.descent.kind}


def _squared_norm(factor: Tensor) -> float:
    """Squared spectral norm of a factor (r, n) or (m, r), by its r x r Gram matrix."""
    gram = factor @ factor.T if factor.shape[0] <= factor.shape[1] else factor.T @ factor
    if gram.numel() == 1 or not bool(torch.isfinite(gram).all()):
        return float(gram.sum())
    return float(torch.linalg.eigvalsh(gram)[-1])
