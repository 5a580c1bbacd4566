"""``tomllib`` of the standard library (Python 3.11 and later), or tomli, which pytest requires
before.
"""

try:
    from tomllib import loads
except ModuleNotFoundError:
    from tomli import loads

__all__ = ["loads"]
