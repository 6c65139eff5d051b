"""How messages count things."""


def count(number: int, what: str) -> str:
    """3, "problem" → "3 problems"; 1 → "1 problem"; what ends in s takes es, so "class" may be counted."""
    ending = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{ending}"
