"""What a chain asks of its links, whatever they are made of."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from colarepro.chain.schedule import Schedule
from colarepro.chain.sharded import is_sharded, whole
from colarepro.errors import ColaError, NotFiniteError


class Links(ABC):
    """The current link of a PEFT model, and how it becomes the past.

    A link's Parameters are the same objects from the first link to the last, so that an optimizer, a scheduler and
    accelerate keep valid references. Constructing checks the model and changes nothing.
    """

    kind: ClassVar[str]
    """Written into checkpoints, so that one kind does not take up the other's."""

    def __init__(self, model: Any, adapter: str, schedule: Schedule) -> None:
        self.model = model
        self.adapter = adapter
        self.schedule = schedule

    @property
    def config(self) -> Any:
        """PEFT's configuration of the adapter."""
        return self.model.peft_config[self.adapter]

    @property
    @abstractmethod
    def layers(self) -> dict[str, BaseTunerLayer]:
        """The adapted layers by name."""

    @property
    @abstractmethod
    def parameters(self) -> dict[str, list[nn.Parameter]]:
        """The link's own parameters by the layer that they belong to."""

    @property
    def sharded(self) -> bool:
        """Whether what `state` gives is shared out among ranks, which must then ask for it together."""
        return any(is_sharded(parameter) for parameters in self.parameters.values() for parameter in parameters)

    @property
    @abstractmethod
    def rank(self) -> int | None:
        """Rank of the current link, or None if its kind has none."""

    @property
    @abstractmethod
    def fingerprints(self) -> Mapping[str, Any]:
        """Of every layer a hash of the weights that the chain began with; JSON."""

    @abstractmethod
    def check_future(self) -> None:
        """Raise `ColaError` if a later link of the schedule is impossible."""

    @abstractmethod
    def advance(self, link: int, seed: int) -> None:
        """Fold the current link into the past and start link number ``link``, or raise and leave all as it was."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs, current link included."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor], link: int, seed: int) -> None:
        """Take up what `state` gave while link number ``link`` was training."""

    @abstractmethod
    def delta(self, name: str) -> Tensor:
        """The total update of a layer's weight so far, current link included: (out, in)."""

    def check_active(self) -> None:
        """Raise `ColaError` if an adapter is merged or disabled."""
        for name, layer in self.layers.items():
            if layer.merged or layer.disable_adapters:
                raise ColaError(f"The adapter of {name} is merged or disabled; undo that before a knot is tied.")

    def check_finite(self, link: int) -> None:
        """Raise `NotFiniteError` if the current link, number ``link``, holds a NaN or an infinity."""
        for name, parameters in self.parameters.items():
            if not all(bool(torch.isfinite(whole(parameter.detach())).all()) for parameter in parameters):
                raise NotFiniteError(f"Link {link} of {name} holds a NaN or an infinity; the knot was not tied.")

    def keep_ranks_on_load(self) -> None:
        """From now on, loading a state dict skips a link's tensors of another shape: `restore` has the last word.

        The Trainer loads a checkpoint's adapter by itself, before the chain knows of it, maybe one of a later link.
        """
        self.model.register_load_state_dict_pre_hook(_keep_shapes)


@contextmanager
def seeded(seed: int, link: int) -> Iterator[None]:
    """Random numbers that depend on the seed and the link only; everybody else's stay as they were."""
    # Naming them all spares a warning where there are several.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(int(np.random.SeedSequence([seed, link]).generate_state(1, np.uint64)[0]))
        yield


def refuse_tied(model: nn.Module, layers: Mapping[str, BaseTunerLayer], remedy: str) -> None:
    """Raise `ColaError`, which ends in ``remedy``, if a layer's weight is also another module's."""
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    for layer_name, layer in layers.items():
        for parameter in layer.get_base_layer().parameters():
            names = owners[id(parameter)]
            if len(names) > 1:
                raise ColaError(
                    f"The target {layer_name} shares its weight with another module ({' and '.join(names)}), which "
                    f"a merge would change too; {remedy}."
                )


def _keep_shapes(module: nn.Module, state: dict[str, Tensor], *_: Any) -> None:
    for name, current in module.state_dict().items():
        if name in state and state[name].shape != current.shape:
            state[name] = current
