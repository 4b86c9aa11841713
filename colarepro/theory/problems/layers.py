"""Two layers in one matrix.

A method trains one matrix W (m, n) by updates of low rank. The layers W1 (hidden, inputs) and W2 (outputs, hidden)
share their hidden side, so they lie next to each other as W = [W1 | W2^T] (hidden, inputs + outputs). An update of W
of rank at most r changes each layer by a rank of at most r, and its Frobenius norm is that of both changes
together. (On the diagonal of a larger matrix the layers would share a rank of r between them.)
"""

import torch
from torch import Tensor

from colarepro.errors import ColaError


def side_by_side(first: Tensor, second: Tensor) -> Tensor:
    """W (..., hidden, inputs + outputs) of layers (..., hidden, inputs) and (..., outputs, hidden)."""
    return torch.cat([first, second.mT], -1)


def split(weight: Tensor, inputs: int) -> tuple[Tensor, Tensor]:
    """The first layers (..., hidden, inputs) and second ones (..., outputs, hidden) of W."""
    return weight[..., :inputs], weight[..., inputs:].mT


def outputs_beside(start: Tensor, inputs: Tensor, least: int) -> int:
    """Number of columns that ``start`` (S, hidden, inputs + outputs) has beyond those of ``inputs`` (S, N, inputs).

    Raises `ColaError` if it is below ``least``.
    """
    outputs = start.shape[2] - inputs.shape[2]
    if outputs < least:
        raise ColaError(
            f"The starting weight has {start.shape[2]} columns for {inputs.shape[2]} inputs; expected one for every "
            f"input and at least {least} for the outputs."
        )
    return outputs
