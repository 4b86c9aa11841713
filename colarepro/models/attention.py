"""Attention that can be differentiated."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.backends import cuda


@contextmanager
def without_cudnn_attention() -> Iterator[None]:
    """Within the block, scaled dot-product attention goes by torch's own kernels.

    On an H100 or H200 torch since 2.11 prefers cuDNN's, whose backward pass may give NaN under a mask where the length
    is 64 more than a multiple of 128 (pytorch/pytorch#196678).
    """
    before = cuda.cudnn_sdp_enabled()
    cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        cuda.enable_cudnn_sdp(before)
