import pytest

from meshcore.errors import InvalidUnit
from meshcore.units import duration_ms, format_ms


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0s", 0), ("0", 0), ("100ms", 100), ("1s", 1000), ("1.5s", 1500), (".5s", 500),
        ("1h2m3.5s", 3_723_500), ("2h", 7_200_000), ("1000us", 1), ("1000000ns", 1),
        ("1000µs", 1), ("300.25s", 300_250),
    ],
)  # fmt: skip
def test_a_duration_is_gos(text, milliseconds):
    assert duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5", "has no unit, write 5s or 5ms"),
        ("5.0", "has no unit"),
        ("", "is not a duration"),
        ("-1s", "is negative"),
        ("1 s", "is not a duration"),
        ("1d", "is not a duration"),
        ("1s ", "is not a duration"),
        ("s", "is not a duration"),
        ("1..5s", "is not a duration"),
        ("1us", "finer than a millisecond"),
        ("1.0005s", "finer than a millisecond"),
        ("9999999999h", "longer than 10,000 years"),
        ("1s" * 100, "is not a duration"),
        ("9" * 100_000 + "s", "is not a duration"),
        ("\u0661s", "is not a duration"),
    ],
)
def test_anything_else_is_refused(text, why):
    with pytest.raises(InvalidUnit, match=why):
        duration_ms(text)


@pytest.mark.parametrize("milliseconds", [0, 1, 999, 1000, 90_000, 3_723_500, 86_400_000])
def test_what_is_written_is_read_back(milliseconds):
    assert duration_ms(format_ms(milliseconds)) == milliseconds
