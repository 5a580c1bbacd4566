"""EDICT in the paper's own variables (Wallace et al. 2023, equations 14 and 15, alternation of
section 4.3), written independently of the pack.

``abar`` has alpha-bar at every level from the noise to the picture, where it is 1; ``e(x, i)`` is
the network's noise prediction at ``x`` and step ``i``'s timestep.
"""

import math


def step_factors(now: float, after: float) -> tuple[float, float]:
    a = math.sqrt(after / now)
    return a, math.sqrt(1 - after) - a * math.sqrt(1 - now)


def generate(e, x, y, abar: list[float], p: float) -> list[tuple]:
    """The pairs after every step, from the noise to the picture."""
    seen = []
    for i, levels in enumerate(zip(abar, abar[1:])):
        a, b = step_factors(*levels)
        if i % 2 == 0:
            x_inter = a * x + b * e(y, i)
            y_inter = a * y + b * e(x_inter, i)
        else:
            y_inter = a * y + b * e(x, i)
            x_inter = a * x + b * e(y_inter, i)
        x = p * x_inter + (1 - p) * y_inter
        y = p * y_inter + (1 - p) * x
        seen.append((x, y))
    return seen


def invert(e, x, y, abar: list[float], p: float) -> list[tuple]:
    """The pairs after every step, from the picture to the noise."""
    seen = []
    for i in reversed(range(len(abar) - 1)):
        a, b = step_factors(abar[i], abar[i + 1])
        y_inter = (y - (1 - p) * x) / p
        x_inter = (x - (1 - p) * y_inter) / p
        if i % 2 == 0:
            y = (y_inter - b * e(x_inter, i)) / a
            x = (x_inter - b * e(y, i)) / a
        else:
            x = (x_inter - b * e(y_inter, i)) / a
            y = (y_inter - b * e(x, i)) / a
        seen.append((x, y))
    return seen
