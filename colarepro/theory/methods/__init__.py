"""The methods, one file each."""

from colarepro.theory.methods.cola import Cola
from colarepro.theory.methods.descent import AdamW, Descent, GradientDescent
from colarepro.theory.methods.frank_wolfe import FrankWolfe
from colarepro.theory.methods.full import Full
from colarepro.theory.methods.lora import Lora

__all__ = ["AdamW", "Cola", "Descent", "FrankWolfe", "Full", "GradientDescent", "Lora"]
