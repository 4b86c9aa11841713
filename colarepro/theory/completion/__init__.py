"""Matrix completion by Frank-Wolfe at sizes where the weight is never formed.

`frank_wolfe` is the method; its data are `observations`, the answers of its `oracle` are `atom`s, its iterate is the
`weight`, its step sizes are the `rules`.
"""

from colarepro.theory.completion.frank_wolfe import Completion, complete

__all__ = ["Completion", "complete"]
