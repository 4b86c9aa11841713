"""A PEFT model's link as it stands, to put it back after a knot that failed or was only tried."""

import warnings
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper


class Standing:
    """Holds the adapter's modules, and copies of the base weights below them; the link itself is not copied.

    What happens in between may merge, unload and inject adapters, as long as it leaves the link's tensors alone.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tuner = model.base_model
        self.modules = {
            name: module
            for name, module in self.tuner.model.named_modules()
            if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper))
        }
        self.trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        layers = [module for module in self.modules.values() if isinstance(module, BaseTunerLayer)]
        weights = [weight for layer in layers for weight in layer.get_base_layer().parameters()]
        # PEFT may give a weight other memory, of another layout, in which products round otherwise.
        self.weights = [(weight, weight.data, weight.detach().clone()) for weight in weights]

    @torch.no_grad()
    def put_back(self) -> None:
        """Make the model what it was, bit for bit."""
        base = self.tuner.model
        for name, module in self.modules.items():
            base.set_submodule(name, module)
        for layer in self.modules.values():
            if isinstance(layer, BaseTunerLayer) and layer.merged:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # OSF says here that it cannot; what follows can
                    layer.unmerge()
                layer.merged_adapters.clear()
        for weight, memory, values in self.weights:
            weight.data = memory.copy_(values)
        for parameter, trained in self.trained:
            parameter.requires_grad_(trained)
        base.peft_config = self.tuner.peft_config
        self.model.base_model = self.tuner
