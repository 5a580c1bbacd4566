"""Tables of Markdown pages."""


def table_rows(text: str) -> list[list[str]]:
    """The cells of every line of a table, heads and the lines below them included."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
