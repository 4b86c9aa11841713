"""The proved bounds, as functions of what they are allowed to know. Proofs: theory/*.md."""

import math

from colarepro.errors import ColaError

# The constant before sqrt(M beta) D / sqrt(T): as printed in the paper, as its own proof gives it, and with
# the step sqrt(2 M / (beta T)) / D that minimises the right-hand side.
PRINTED, PROVED, BEST = 2.0, 1.5, math.sqrt(2)


def cola_average_gap(
    steps: int, start_excess: float, smoothness: float, diameter: float, error: float = 0.0, constant: float = PRINTED
) -> float:
    """COLA (arXiv 2401.04151), Theorem 4.1: ``constant sqrt(M beta) D / sqrt(T) + epsilon`` after T steps.

    M bounds loss(start) - min over the set, beta is the smoothness, D the set's diameter (Frobenius) and
    epsilon the oracle's additive error. Valid from `cola_first_step` on: see theory/cola-theorem-4-1.md.
    """
    _check(steps, start_excess, smoothness, diameter)
    return constant * math.sqrt(start_excess * smoothness) * diameter / math.sqrt(steps) + error


def cola_first_step(start_excess: float, smoothness: float, diameter: float, best_step: bool = False) -> int:
    """The least T at which the theorem's step is at most 1, so that the iterates stay in the set.

    M / (beta D^2), or twice that with the step that gives the constant sqrt(2).
    """
    _check(1, start_excess, smoothness, diameter)
    return max(1, math.ceil((2 if best_step else 1) * start_excess / (smoothness * diameter**2)))


def jaggi_excess(step: int, smoothness: float, diameter: float) -> float:
    """Jaggi 2013, Theorem 1: after ``step`` >= 1 open-loop steps on a convex loss, ``2 C_f / (step + 2)``.

    The curvature constant C_f is at most ``smoothness * diameter^2``, which stands for it here.
    """
    _check(step, 0.0, smoothness, diameter)
    return 2 * smoothness * diameter**2 / (step + 2)


def nuclear_ball_diameter(radius: float) -> float:
    """Diameter 2 radius of the nuclear-norm ball in the Frobenius norm, between u v^T and -u v^T."""
    return 2 * radius


def _check(steps: int, start_excess: float, smoothness: float, diameter: float) -> None:
    if steps < 1 or start_excess < 0 or not smoothness > 0 or not diameter > 0:
        raise ColaError(
            f"A bound was asked for {steps} steps, excess {start_excess}, smoothness {smoothness} and diameter "
            f"{diameter}; expected at least 1, at least 0, and two numbers above 0."
        )
