"""Adam's moments at a knot, where they are pruned instead of dropped."""

from torch import Tensor


def prune_moments(moments: dict[str, Tensor], share: float, batch: int = 0) -> None:
    """Zero this share of both of Adam's moments, in place, where the first is least in magnitude; the step count stays.

    With ``batch`` 1 every row of a batch is pruned by itself. One mask serves both moments. A mask for each leaves
    first moments without their second ones, and as A's gradient is exactly zero at the start of a link, such an entry
    moves by its moment over Adam's epsilon.
    """
    first = moments["exp_avg"].flatten(batch)
    least = first.abs().argsort(dim=-1)[..., : round(share * first.shape[-1])]
    for name in ("exp_avg", "exp_avg_sq"):
        moments[name].flatten(batch).scatter_(-1, least, 0.0)
