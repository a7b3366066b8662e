"""A file's name says what is in it, and the file can be read in one sitting."""

import re

BANNED = re.compile(r"^(utils?|commons?|helpers?|managers?|handlers?|misc|data|info)$")

LIMITS = {".rs": 500, ".py": 400}

# Longer than the limit, up to so many lines, for this reason.
LONGER = {
    "tests/unit/config/compile/test_virtual_service.py": (420, "one table of cases of one kind"),
}


def test_no_name_hides_what_it_holds(sources, root):
    hiding = {
        path.relative_to(root).as_posix()
        for path in sources
        for part in path.relative_to(root).with_suffix("").parts
        if BANNED.match(part)
    }
    assert hiding == set()


def test_files_can_be_read_in_one_sitting(sources, root):
    too_long = {}
    for path in sources:
        name = path.relative_to(root).as_posix()
        limit, _why = LONGER.get(name, (LIMITS[path.suffix], ""))
        lines = len(path.read_text().splitlines())
        if lines > limit:
            too_long[name] = lines
    assert too_long == {}


def test_exceptions_are_files_of_ours(root):
    assert [name for name in LONGER if not (root / name).is_file()] == []
