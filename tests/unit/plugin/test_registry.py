import json
import subprocess
import sys

import pytest

from meshcore.errors import PluginRejected
from meshcore.plugin.registry import Registry, load, to_native

HEAD = "from meshcore.plugin import *\n"


@pytest.fixture
def write(tmp_path):
    def write_one(source: str, name: str = "policy.py") -> str:
        path = tmp_path / name
        path.write_text(HEAD + source)
        return str(path)

    return write_one


def test_a_hook_is_described_as_the_data_plane_reads_it(write):
    path = write("""
@authorize(reads=["source.principal", "request.headers[X-Tenant]", "source.principal"],
           cache="30s", timeout="5ms", hosts=["Reviews", "*.example.com"],
           match={"methods": {"post", "GET"}, "paths": ["/a/"]})
def premium(request): return allow()
""")
    plugin = load(path)
    (hook,) = plugin.hooks
    assert hook.to_model() == {
        "id": hook.id,
        "name": "policy.premium",
        "origin": f"{path}:3",
        "stage": "authorize",
        "hosts": ["reviews", "*.example.com"],
        "path_prefixes": ["/a/"],
        "methods": ["GET", "POST"],
        "reads": ["source_principal", {"header": "x-tenant"}],
        "cache_ms": 30_000,
        "timeout_ms": 5,
        "on_error": "deny",
        "mode": "inline",
    }


def test_hosts_are_written_as_requests_name_them(write):
    path = write("""
@authorize(hosts=["Reviews.", "*.A.example", "10.0.0.1", "::1", "[2001:DB8::1]"])
def hosts(request): return allow()
""")
    (hook,) = load(path).hooks
    names = ["reviews", "*.a.example", "10.0.0.1", "[::1]", "[2001:db8::1]"]
    assert hook.to_model()["hosts"] == names


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("@authorize\ndef f(r): ...", ("authorize", "deny", "inline", 20)),
        ("@authorize()\ndef f(r): ...", ("authorize", "deny", "inline", 20)),
        (
            "@authorize(on_error='allow-unsafe')\ndef f(r): ...",
            ("authorize", "allow", "inline", 20),
        ),
        ("@authorize(blocking=True)\ndef f(r): ...", ("authorize", "deny", "queued", 20)),
        ("@authorize\nasync def f(r): ...", ("authorize", "deny", "async", 1000)),
        ("@route\ndef f(r, *, more=1): ...", ("route", "skip", "inline", 20)),
        ("@on_request\ndef f(r): ...", ("on_request", "deny", "inline", 20)),
        ("@on_response\ndef f(a, b): ...", ("on_response", "skip", "inline", 20)),
        ("@telemetry\ndef f(records): ...", ("telemetry", "skip", "queued", 1000)),
    ],
)
def test_defaults_are_safe(write, source, wanted):
    (hook,) = load(write(source)).hooks
    model = hook.to_model()
    found = (model["stage"], model["on_error"], model["mode"], model["timeout_ms"])
    assert found == wanted


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "no hook found, decorate a function"),
        ("x = (", r"policy.py:2: '\(' was never closed"),
        ("1 / 0", "policy.py:2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)", "policy.py:3: SystemExit: 3"),
        ("import no_such_module", "policy.py:2: ModuleNotFoundError"),
        ("@authorize\ndef f(): ...", r"policy.py:2: f: wrong signature .* def f\(request\)"),
        ("@on_response\ndef f(r): ...", r"def f\(request, response\)"),
        ("@authorize\ndef f(r, s): ...", "wrong signature"),
        ("@authorize\ndef f(r): yield", "return instead of yield"),
        ("@authorize\nclass F: ...", "goes on a function"),
        ("@authorize(cache='3s')\ndef f(r): ...", "cache needs reads"),
        (
            "@authorize(cache='3s', reads=['request.headers[Cookie]'])\ndef f(r): ...",
            "would keep a secret",
        ),
        (
            "@authorize(cache='3s', reads=['request.headers[authorization]'])\ndef f(r): ...",
            "would keep a secret",
        ),
        ("@on_response(cache='3s', reads=[])\ndef f(a, b): ...", "cannot have cache"),
        ("@authorize(cache=3, reads=[])\ndef f(r): ...", 'a text with a unit such as "20ms"'),
        ("@authorize(timeout='3')\ndef f(r): ...", "has no unit, write 3s or 3ms"),
        ("@authorize(timeout='0s')\ndef f(r): ...", "from 1ms to 1m"),
        ("@authorize(timeout='2m')\ndef f(r): ...", "from 1ms to 1m"),
        ("@authorize(on_error='allow')\ndef f(r): ...", "fails closed.*allow-unsafe"),
        ("@authorize(on_error='skip')\ndef f(r): ...", "@authorize knows deny, allow-unsafe"),
        ("@telemetry(on_error='deny')\ndef f(r): ...", "@telemetry knows skip"),
        ("@authorize(reads='request.path')\ndef f(r): ...", "give a list of texts"),
        ("@authorize(reads=['request.pat'])\ndef f(r): ...", "did you mean 'request.path'"),
        ("@authorize(reads=['request.header[x]'])\ndef f(r): ...", r"request.headers\[NAME\]"),
        ("@authorize(reads=['request.headers[a b]'])\ndef f(r): ...", "unknown attribute"),
        ("@authorize(reads=['request.headers[host]'])\ndef f(r): ...", "write request.host"),
        ("@authorize(reads=['response.code'])\ndef f(r): ...", "there is no response yet"),
        ("@authorize(order='1')\ndef f(r): ...", "give int"),
        ("@authorize(order=True)\ndef f(r): ...", "give int"),
        ("@authorize(hosts=['a/b'])\ndef f(r): ...", r"neither a name nor \*.suffix"),
        ("@authorize(hosts=['*.'])\ndef f(r): ...", r"neither a name nor \*.suffix"),
        ("@authorize(hosts=['a:80'])\ndef f(r): ...", "'a:80' has a port: write the host without"),
        ("@authorize(hosts=['[::1]:80'])\ndef f(r): ...", "write the host without its port"),
        ("@authorize(match={'path': '/'})\ndef f(r): ...", "match is"),
        ("@authorize(match={'paths': ['a']})\ndef f(r): ...", "is no prefix"),
        ("@authorize(match={'paths': ['/a/*']})\ndef f(r): ...", "is no prefix"),
        ("@authorize(read=[])\ndef f(r): ...", "no option 'read', known are"),
        ("@telemetry(cache='1s')\ndef f(r): ...", "no option 'cache'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(write, source, says):
    path = write(source)
    before = {name for name in sys.modules if name.startswith("_meshcore_plugin")}
    with pytest.raises(PluginRejected, match=says) as raised:
        load(path)
    assert str(raised.value).startswith(path)
    assert {name for name in sys.modules if name.startswith("_meshcore_plugin")} == before


def test_a_bad_new_file_leaves_the_generation_before_in_force(write):
    registry = Registry()
    path = write("@authorize\ndef old(r): return allow()")
    first = registry.load(path)
    write("@authorize\ndef new(r) return allow()")
    with pytest.raises(PluginRejected, match=r"policy.py:3: expected ':'"):
        registry.load(path)
    assert registry.plugins == (first,)
    write("@authorize\ndef new(r): return allow()")
    second = registry.load(path)
    assert [hook.name for hook in registry.hooks()] == ["policy.new"]
    assert second.generation > first.generation
    assert second.hooks[0].id > first.hooks[0].id
    assert first.hooks[0].spec.function.__module__ not in sys.modules


def test_hooks_of_all_plugins_are_in_their_order(write):
    registry = Registry()
    registry.load(write("@authorize(order=5)\ndef a(r): ...\n@authorize\ndef b(r): ...", "x.py"))
    registry.load(write("@authorize(order=-1)\ndef c(r): ...\n@route\ndef d(r): ...", "y-z.py"))
    assert [hook.name for hook in registry.hooks()] == ["y_z.c", "x.b", "y_z.d", "x.a"]
    described, functions = to_native(registry.hooks())
    ids = [hook["id"] for hook in json.loads(described)]
    assert ids == [number for number, _ in functions]
    registry.unload(registry.plugins[0].path)
    assert len(registry.hooks()) == 2


def test_two_files_of_one_name_are_refused(write, tmp_path):
    registry = Registry()
    registry.load(write("@authorize\ndef a(r): ..."))
    (tmp_path / "sub").mkdir()
    with pytest.raises(PluginRejected, match="is loaded from"):
        registry.load(write("@authorize\ndef a(r): ...", "sub/policy.py"))


@pytest.mark.parametrize("name", ["1a.py", "a b.py", "policy.txt"])
def test_files_that_are_no_modules_are_refused(write, name):
    with pytest.raises(PluginRejected, match="name"):
        load(write("@authorize\ndef a(r): ...", name))


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(PluginRejected, match=r"gone.py: file not found"):
        load(str(tmp_path / "gone.py"))


def test_authors_import_little():
    heavy = "{'asyncio', 'pydantic', 'logging', 'socket', 'ctypes', 'yaml', 'subprocess'}"
    check = f"import sys, meshcore.plugin; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    ).stdout
    assert found == "[]\n"
