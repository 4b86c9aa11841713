"""How one run happens: its configuration, its Trainer, its record."""

from colarepro.runs.config import RunConfig
from colarepro.runs.finetune import finetune

__all__ = ["RunConfig", "finetune"]
