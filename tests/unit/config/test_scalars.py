import pytest

from meshcore.config.scalars import resolve, tagged


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("No", False), ("ON", True), ("off", False), ("true", True), ("y", "y"),
        ("", None), ("~", None), ("null", None), ("Null", None), ("nULL", "nULL"),
        ("80", 80), ("-1", -1), ("+5", 5), ("0x1F", 31), ("0644", 420), ("0o17", 15), ("0b11", 3),
        ("089", "089"), ("1_000", "1_000"),
        ("1.5", 1.5), ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("1.2.3", "1.2.3"),
        ("12:30", "12:30"), ("1:30:00", "1:30:00"), ("2020-01-01", "2020-01-01"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"), (".inf", ".inf"), (".nan", ".nan"),
        ("v1", "v1"), ("1h", "1h"), ("10.0.0.1", "10.0.0.1"), ("=", "="), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_plain_scalars_are_kubectls_without_dates_and_base_60(text, value):
    resolved = resolve(text)
    assert resolved == value
    assert type(resolved) is type(value)


def test_tags_force_a_type():
    assert tagged("tag:yaml.org,2002:str", "80") == "80"
    assert tagged("tag:yaml.org,2002:int", "80") == 80
    assert tagged("tag:yaml.org,2002:float", "1") == 1.0
    assert tagged("!", "yes") == "yes"


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("tag:yaml.org,2002:int", "x"),
        ("tag:yaml.org,2002:int", "yes"),
        ("tag:yaml.org,2002:bool", "1"),
        ("tag:yaml.org,2002:binary", "AA=="),
        ("tag:yaml.org,2002:python/object", "x"),
        ("!!python/object:os.system", "x"),
        ("!custom", "x"),
        ("int", "5"),
    ],
)
def test_other_tags_are_refused(tag, text):
    with pytest.raises(ValueError, match=r"tag|not of type"):
        tagged(tag, text)
