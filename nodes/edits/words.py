"""Format numbers for reports and messages."""


def listed(values: list[float], form: str = ".3g", most: int = 4) -> str:
    """Format the first ``most`` values with the format specification ``form``."""
    return ", ".join(format(value, form) for value in values[:most])


def percents(shares: list[float], digits: int = 1, most: int = 8) -> str:
    """Shares in 0..1 as percentages."""
    return ", ".join(f"{100 * share:.{digits}f} %" for share in shares[:most])


def either(numbers: list[int]) -> str:
    """Format alternatives: "1", "1 or 3", "1, 3 or 9"."""
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last
