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


def lacoste_julien_least_gap(step: int, start_excess: float, smoothness: float, diameter: float) -> float:
    """Lacoste-Julien 2016, Theorem 1: on a loss that need not be convex, with the step gap / C (at most 1) or
    line search, the least gap of the iterates 0 to ``step`` is at most ``max(2 h_0, C) / sqrt(step + 1)``.

    C is at most ``smoothness * diameter^2``, which stands for it here.
    """
    _check(step + 1, start_excess, smoothness, diameter)
    return max(2 * start_excess, smoothness * diameter**2) / math.sqrt(step + 1)


def hazan_luo_excess(step: int, smoothness: float, diameter: float) -> float:
    """Hazan & Luo 2016, Theorem 3: mean excess of stochastic Frank-Wolfe, ``4 L D^2 / (step + 2)``, on a convex
    loss with steps 2 / (t + 1) and a gradient's variance below (L D / (t + 1))^2, t counted from 1."""
    _check(step, 0.0, smoothness, diameter)
    return 4 * smoothness * diameter**2 / (step + 2)


def rac_share(rank: int, size: int) -> float:
    """Smallest eigenvalue ``rank / size`` of the mean projection E[H] on a uniformly random ``rank``-dimensional
    subspace of a ``size``-dimensional space (RAC-LoRA, arXiv 2410.08305, Assumption 5.1)."""
    if not 1 <= rank <= size:
        raise ColaError(f"A projection of rank {rank} was asked for in dimension {size}; expected 1 to {size}.")
    return rank / size


def rac_contraction(step_size: float, strong_convexity: float, rank: int, size: int) -> float:
    """RAC-LoRA, Theorem 5.5: factor ``1 - gamma mu r / n`` by which a step of size gamma <= 1 / L multiplies the
    mean excess, at most, under the PL inequality with constant mu."""
    return 1 - step_size * strong_convexity * rac_share(rank, size)


def rac_mean_square_gradient(steps: int, start_excess: float, step_size: float, rank: int, size: int) -> float:
    """RAC-LoRA, Theorem 5.3: mean squared gradient norm of a uniformly drawn iterate among 0 to ``steps`` - 1,
    ``2 h_0 n / (r gamma T)``, on a smooth loss that need not be convex, for gamma <= 1 / L."""
    _check(steps, start_excess, 1.0, 1.0)
    return 2 * start_excess / (rac_share(rank, size) * step_size * steps)


def pursuit_contraction(rank: int, shape: tuple[int, int]) -> float:
    """Wang et al. 2014 (arXiv 1404.1377), Theorem 3.1: factor ``1 - r / min(m, n)`` of the squared residual for each
    pursuit of rank r (their r is 1), of a matrix that is seen whole or in part."""
    if not 1 <= rank <= min(shape):
        raise ColaError(f"Rank {rank} was given for a {shape[0]} x {shape[1]} matrix; expected 1 to {min(shape)}.")
    return 1 - rank / min(shape)


def nuclear_ball_diameter(radius: float) -> float:
    """Diameter 2 radius of the nuclear-norm ball in the Frobenius norm, between u v^T and -u v^T."""
    return 2 * radius


def _check(steps: int, start_excess: float, smoothness: float, diameter: float) -> None:
    if steps < 1 or start_excess < 0 or not smoothness > 0 or not diameter > 0:
        raise ColaError(
            f"A bound was asked for {steps} steps, excess {start_excess}, smoothness {smoothness} and diameter "
            f"{diameter}; expected at least 1, at least 0, and two numbers above 0."
        )
