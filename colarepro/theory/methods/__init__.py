"""The methods, one file each; `chained_cola` is imported by its own name, for PEFT takes seconds to load."""

from colarepro.theory.methods.asymmetric_lora import AsymmetricLora
from colarepro.theory.methods.block_frank_wolfe import BlockFrankWolfe
from colarepro.theory.methods.cola import Cola
from colarepro.theory.methods.descent import AdamW, Descent, GradientDescent
from colarepro.theory.methods.frank_wolfe import FrankWolfe
from colarepro.theory.methods.full import Full
from colarepro.theory.methods.idealized_cola import IdealizedCola
from colarepro.theory.methods.lora import Lora
from colarepro.theory.methods.pursuit import Pursuit
from colarepro.theory.methods.rac_lora import RacLora
from colarepro.theory.methods.relora import ReLora
from colarepro.theory.methods.restart import Restart

__all__ = [
    "AdamW",
    "AsymmetricLora",
    "BlockFrankWolfe",
    "Cola",
    "Descent",
    "FrankWolfe",
    "Full",
    "GradientDescent",
    "IdealizedCola",
    "Lora",
    "Pursuit",
    "RacLora",
    "ReLora",
    "Restart",
]
