"""``tomllib`` is in the standard library from Python 3.11 on; before, pytest's own requirement
tomli does the same.
"""

try:
    from tomllib import loads
except ModuleNotFoundError:
    from tomli import loads

__all__ = ["loads"]
