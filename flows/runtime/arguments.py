"""Lists of names on command lines and in environment variables."""


def names_in(text: str) -> list[str]:
    """Return the names in a list like ``A, B``, without the blanks around them."""
    return [name.strip() for name in text.split(",") if name.strip()]
