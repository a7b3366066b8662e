from meshcore.control.compare import MAX_NAMED, changes

BEFORE = """
services:
  a: {port: 80, endpoints: ["127.0.0.1:80"]}
  b: {port: 80, endpoints: ["127.0.0.2:80"]}
"""


def test_documents_that_only_moved_are_the_same(compiled):
    assert changes(compiled(BEFORE), compiled("\n\n" + BEFORE)) == []


def test_each_document_is_named_once(compiled):
    after = BEFORE.replace('b: {port: 80, endpoints: ["127.0.0.2:80"]}',
                           'c: {port: 80, endpoints: ["127.0.0.3:80"]}')  # fmt: skip
    after = after.replace("127.0.0.1:80", "127.0.0.9:80") + "mesh: {trustDomain: other}\n"
    found = changes(compiled(BEFORE), compiled(after))
    assert "- ServiceEntry default/b" in found
    assert "+ ServiceEntry default/c" in found
    assert "~ WorkloadEntry default/a" in found
    assert "~ MeshConfig" in found
    assert "~ ServiceEntry default/a" not in found


def test_many_changes_are_counted(compiled):
    many = "".join(f"  s{i}: {{port: 80, endpoints: ['127.0.1.{i}:80']}}\n" for i in range(20))
    found = changes(compiled(BEFORE), compiled(BEFORE + many))
    assert len(found) == MAX_NAMED + 1
    assert found[-1] == f"and {40 - MAX_NAMED} more"
