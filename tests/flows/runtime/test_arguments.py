from flows.runtime.arguments import names_in


def test_blanks_around_names_and_empty_ones_do_not_count() -> None:
    assert names_in("A, B ,EUR/USD,") == ["A", "B", "EUR/USD"]
    assert names_in(" ") == []
