"""When a chain ties its knots, and how each link starts."""

import math
import sys
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from colarepro.errors import ColaError, quoted

CHOICES = {
    "initialization": ("fresh", "same"),
    "learning_rate": ("continue", "restart", "rewarm"),
    "fold": ("merge", "stack", "none"),
    "reset": ("drop", "prune"),
}

MOST_LINKS = 100_000  # far beyond use; a slip is refused before lists of that length are made


@dataclass(frozen=True)
class Schedule:
    """A chain as its user describes it: by one of ``length``, ``knot_steps`` and ``knot_epochs``.

    With none of them there are two links and the knot comes after three fifths of the run, where the paper's only
    stated knot lies (epoch 3 of 5).

    The paper (arXiv 2401.04151, Algorithm 1) leaves two choices open; both readings are here.

    * ``initialization``: Algorithm 1 prints "A_t = A_0", the text draws a new Gaussian A. The default is the fresh
      draw: with the same A every point where the gradient vanishes on A's row space stops the whole chain.
    * ``learning_rate``: whether the schedule restarts at a knot is not said. The default continues it, because
      Algorithm 1 resets the optimizer and nothing else, and because the learning rate then is, step for step, the
      one of the LoRA run that the chain is compared with.

    ``ranks`` keeps ``lora_alpha``, as a new LoRA module of that rank would; the scaling alpha/r follows the rank.
    """

    length: int | None = None
    """Number of links, of (nearly) equal numbers of optimizer steps; 1 is plain LoRA."""
    knot_steps: tuple[int, ...] = ()
    """Optimizer steps after which a knot is tied."""
    knot_epochs: tuple[float, ...] = ()
    """Epochs after which a knot is tied, such as 3 of 5 in the paper's rank step-down."""
    ranks: tuple[int, ...] = ()
    """Rank of every link; empty keeps the adapter's own."""
    initialization: Literal["fresh", "same"] = "fresh"
    """A of a new link: a fresh draw from the adapter's own initializer, or the first link's A."""
    learning_rate: Literal["continue", "restart", "rewarm"] = "continue"
    """At a knot the learning-rate schedule goes on, or every link runs the whole schedule squeezed to its length, or
    it goes on after a linear rise from zero over ``warmup`` steps (ReLoRA)."""
    warmup: int = 0
    """Steps of the rise after each knot with ``learning_rate="rewarm"``."""
    fold: Literal["merge", "stack", "none"] = "merge"
    """Past links are merged into the weight, or kept beside it as frozen factors (LoRA's only; exact over any base).
    With "none" there is no new link: what a knot still does is restart the optimizer, the control that isolates the
    merge."""
    reset: Literal["drop", "prune"] = "drop"
    """The optimizer's state at a knot: dropped, or pruned as ReLoRA does (Adam's step count goes on)."""
    prune: float = 0.9
    """Share of the moments' entries, the smallest ones, that ``reset="prune"`` sets to zero."""

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ColaError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}.")
        given = [self.length is not None, bool(self.knot_steps), bool(self.knot_epochs)]
        if sum(given) > 1:
            raise ColaError(f"A schedule takes one of length, knot_steps and knot_epochs, but {sum(given)} were given.")
        if self.length is not None and self.length < 1:
            raise ColaError(f"The chain length is {quoted(self.length)}; expected 1 (plain LoRA) or more links.")
        links = self.links
        if links > MOST_LINKS:
            raise ColaError(f"The chain has {quoted(links)} links; expected at most {MOST_LINKS}.")
        if not all(map(math.isfinite, self.knot_epochs)):
            raise ColaError(f"A knot is tied after epochs {quoted(self.knot_epochs)}; expected finite numbers.")
        if self.initialization == "same" and self.ranks and max(self.ranks) > self.ranks[0]:
            raise ColaError(f"Ranks {quoted(self.ranks)} grow, but initialization='same' has only the first link's A.")
        if self.ranks and len(self.ranks) != links:
            raise ColaError(f"{len(self.ranks)} ranks were given for {links} links; expected one rank a link.")
        if self.fold == "none" and (len(set(self.ranks)) > 1 or self.initialization != "fresh"):
            raise ColaError("With fold='none' the first link goes on, so expected one rank and no initialization.")
        if self.reset == "prune" and len(set(self.ranks)) > 1:
            raise ColaError(
                f"reset='prune' keeps moments of the link's shape, so expected one rank, not {quoted(self.ranks)}."
            )
        if not 0 <= self.prune <= 1 or self.warmup < 0:
            raise ColaError(
                f"A pruned share of {self.prune} and a rise over {quoted(self.warmup)} steps were given; expected a "
                "share from 0 to 1 and at least 0 steps."
            )
        if self.warmup and self.learning_rate != "rewarm":
            raise ColaError(
                f"A rise over {quoted(self.warmup)} steps needs learning_rate='rewarm', not '{self.learning_rate}'."
            )
        if any(rank < 1 for rank in self.ranks):
            raise ColaError(f"The ranks are {quoted(self.ranks)}; expected each to be 1 or more.")

    @property
    def links(self) -> int:
        """Number of links."""
        return self.length or len(self.knot_steps or self.knot_epochs or (0,)) + 1

    def resolve(self, total_steps: int, steps_per_epoch: int | None = None) -> "Plan":
        """The plan for a run of ``total_steps`` optimizer steps.

        Raises `ColaError` if a knot is not strictly inside the run, if two fall together, or if knots are given in
        epochs and ``steps_per_epoch`` is unknown.
        """
        if self.links > 1 and total_steps < 2:
            raise ColaError(f"A knot has a step before it and one after it, but the run has {total_steps} in all.")
        if self.length is not None:
            if self.length > total_steps:
                raise ColaError(f"A chain of {self.length} links needs as many steps, but the run has {total_steps}.")
            knots = tuple(round(total_steps * link / self.length) for link in range(1, self.length))
        elif self.knot_epochs:
            if steps_per_epoch is None:
                raise ColaError("Knots are given in epochs, but the number of steps in an epoch is unknown here.")
            largest = sys.float_info.max  # a huge number times another is infinite, which no step is
            knots = tuple(round(min(epoch * steps_per_epoch, largest)) for epoch in self.knot_epochs)
        else:
            knots = self.knot_steps or (round(0.6 * total_steps),)
        for knot in knots:
            if not 0 < knot < total_steps:
                raise ColaError(
                    f"A knot falls on step {quoted(knot)}; expected one inside the run, from 1 to {total_steps - 1}."
                )
        if any(later <= earlier for earlier, later in pairwise(knots)):
            raise ColaError(f"The knots fall on steps {quoted(knots)}; expected them to increase.")
        return Plan(total_steps, knots, self.ranks)


@dataclass(frozen=True)
class Plan:
    """A schedule on one run: knots in optimizer steps, strictly between 0 and ``total_steps``."""

    total_steps: int
    knots: tuple[int, ...]
    ranks: tuple[int, ...] = ()

    def link_at(self, step: int) -> int:
        """Index of the link that trains once ``step`` optimizer steps are done."""
        return bisect_right(self.knots, step)

    def squeezed(self, step: int) -> float:
        """Position in a schedule of ``total_steps`` if every link runs through the whole of it."""
        link = self.link_at(step)
        edges = (0, *self.knots, self.total_steps)
        start, end = edges[link], edges[link + 1]
        return (step - start) * self.total_steps / (end - start)

    def warmth(self, step: int, warmup: int) -> float:
        """Share of the learning rate after ``step`` steps, if it rises over ``warmup`` steps after each knot."""
        link = self.link_at(step)
        return min(1.0, (step - self.knots[link - 1] + 1) / (warmup + 1)) if link else 1.0
