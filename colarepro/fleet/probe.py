"""Whether a model computes packed prompts as it computes each alone: seen by what it does, not by its name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from colarepro.fleet.group import UnfitError
from colarepro.fleet.packed import Packed, Pool, packed_batch

LENGTHS = 6, 1
"""Of the probe's prompts; the second begins where a model that mixes neighbours would see the first."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
"""Share of the logits' range by which rounding may move them."""


class Probe:
    """Made before the model is changed; `check` is asked after. ``tokens`` are any of its vocabulary that differ."""

    def __init__(self, model: Any, tokens: Sequence[int], shown: Sequence[int], device: str) -> None:
        self._device, self._tolerance = device, TOLERANCE.get(model.dtype, 5e-2)
        first, second, other = tokens
        self._prompts = [LENGTHS[0] * [first], LENGTHS[1] * [second], LENGTHS[0] * [other]]
        with torch.no_grad():
            alone = [model(input_ids=torch.tensor([prompt], device=device)).logits[0, -1] for prompt in self._prompts]
        self._expected = torch.stack(alone)[:, list(shown)].float()
        self._range = float(torch.stack(alone).float().abs().max())

    @torch.no_grad()
    def check(self, model: Any, runs: int) -> None:
        """Raises `UnfitError` unless the packed logits are those of the prompts alone, and one prompt's do not depend
        on another's at all."""
        pool = Pool(self._prompts, [0, 0, 0], runs, self._device)
        try:
            first, other = (self._logits(model, pool, np.array(pair)) for pair in ([0, 1], [2, 1]))
        except UnfitError:
            raise
        except Exception as error:
            raise UnfitError(f"{type(model).__name__} does not take packed prompts: {error}.") from error
        tolerance = self._tolerance * self._range
        if not torch.allclose(first, self._expected[:2], rtol=0, atol=tolerance) or not torch.equal(first[1], other[1]):
            raise UnfitError(f"{type(model).__name__} lets packed prompts see each other, so its runs sail alone.")

    def _logits(self, model: Any, pool: Pool, pair: np.ndarray) -> Tensor:
        shape = pool.shape(pair)
        plan = torch.from_numpy(pool.plan(pair, np.zeros(2, dtype=np.int64), shape)).to(self._device)
        with packed_batch(pool.packed(plan, shape)) as packed:
            return scores(model, packed)


def scores(model: Any, packed: Packed) -> Tensor:
    """What a model that shows its label rows alone computes for a packed batch: float32 (prompts, candidates)."""
    # A mask that is ready spares transformers from looking for packed prompts in the positions.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=packed.ids.device)
    inputs = {"input_ids": packed.ids, "position_ids": packed.positions, "logits_to_keep": packed.last}
    logits: Tensor = model(**inputs, attention_mask=mask, use_cache=False).logits
    return logits[0].float()
