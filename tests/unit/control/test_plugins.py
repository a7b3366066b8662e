import pytest

native = pytest.importorskip("meshcore.native")

from meshcore.control.isolated import IsolatedHook  # noqa: E402 - needs the extension
from meshcore.control.plugins import Plugins  # noqa: E402 - as above
from meshcore.errors import PluginRejected  # noqa: E402 - as above

pytestmark = pytest.mark.native

HEAD = "import os\nfrom meshcore.plugin import *\n"
PLAIN = "@authorize(order=2)\ndef one(request): return allow()\n"
ISOLATED = '@authorize(order=1, isolate="process")\ndef two(request): return allow()\n'


@pytest.fixture
def write(tmp_path):
    def write_one(name, source):
        path = tmp_path / f"{name}.py"
        path.write_text(HEAD + source)
        return str(path)

    return write_one


def isolated(hooks):
    return {hook.to_model()["name"]: isinstance(hook, IsolatedHook) for hook in hooks}


def test_a_plugin_runs_where_it_asks_to(write):
    paths = [write("plain", PLAIN), write("apart", ISOLATED)]
    hooks = Plugins(paths).load()
    assert isolated(hooks) == {"apart.two": True, "plain.one": False}
    assert [hook.to_model()["mode"] for hook in hooks] == ["process", "inline"]
    assert len({hook.id for hook in hooks}) == 2


def test_one_hook_that_asks_takes_the_whole_plugin_along(write):
    hooks = Plugins([write("both", PLAIN + ISOLATED)]).load()
    assert isolated(hooks) == {"both.two": True, "both.one": True}


def test_who_runs_the_sidecar_can_isolate_all(write):
    hooks = Plugins([write("plain", PLAIN)], isolate=True).load()
    assert isolated(hooks) == {"plain.one": True}


def test_a_plugin_that_only_mentions_it_runs_in_the_sidecar(write):
    hooks = Plugins([write("plain", f"# isolate is not for us\n{PLAIN}")]).load()
    assert isolated(hooks) == {"plain.one": False}


def test_what_ends_a_process_is_not_run_in_the_sidecar(write):
    with pytest.raises(PluginRejected, match="exit status 3 while it was loaded"):
        Plugins([write("apart", f"os._exit(3)\n{ISOLATED}")]).load()


def test_a_hook_that_is_imported_cannot_ask_for_the_file(write, tmp_path, monkeypatch):
    write("of_others", ISOLATED)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginRejected, match="the file has to say itself"):
        Plugins([write("imports", "from of_others import two\n")]).load()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(PluginRejected, match=r"missing\.py: no such file"):
        Plugins([str(tmp_path / "missing.py")]).load()


def test_two_plugins_of_one_name_are_refused_wherever_they_run(write, tmp_path):
    (tmp_path / "other").mkdir()
    paths = [write("apart", ISOLATED), write("other/apart", ISOLATED)]
    with pytest.raises(PluginRejected, match="is loaded from"):
        Plugins(paths).load()
