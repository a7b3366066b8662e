import pytest

import meshcore
from meshcore import config


def test_the_package_has_a_version():
    assert meshcore.__version__


def test_other_names_are_not_made_up():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = meshcore.nothing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = config.nothing


def test_what_is_offered_is_there():
    for name in config.__all__:
        assert getattr(config, name) is not None
