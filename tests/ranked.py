"""Work that many processes share, started as torchrun would: forked, over gloo."""

import os
import pickle
import socket
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError
from colarepro.runs import ranks


def on_ranks(count: int, folder: Path, work: Callable[[], Any]) -> list[Any]:
    """What ``work`` returns on each of ``count`` ranks, or the `ColaError` or exit that it ends in."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)

    def run(rank: int) -> None:
        from accelerate.state import AcceleratorState, GradientState, PartialState

        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
        }
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        PartialState._reset_state()
        try:
            answer = work()
        except BaseException as error:
            answer = error
        (folder / str(rank)).write_bytes(pickle.dumps(answer))
        ranks.leave()

    processes = [get_context("fork").Process(target=run, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    answers = [pickle.loads((folder / str(rank)).read_bytes()) for rank in range(count)]
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, ColaError):
            raise answer
    return answers
