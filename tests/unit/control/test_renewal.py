import pytest

pytest.importorskip("meshcore.native")

from meshcore.control import authority, renewal
from meshcore.control.renewal import Given, Issuer, Renewal
from meshcore.control.settings import Files
from meshcore.errors import CertificateError

IDENTITY = "spiffe://td/ns/default/sa/web"


class Clock:
    """`time` and `datetime` of the module, moved by hand."""

    def __init__(self, monkeypatch, unix_seconds):
        self.unix_seconds, self.monotonic_seconds = unix_seconds, 0.0
        monkeypatch.setattr(renewal, "datetime", self)
        monkeypatch.setattr(renewal, "time", self)

    def monotonic(self):
        return self.monotonic_seconds

    def now(self, tz):  # noqa: ARG002 - there is only one
        return self

    def timestamp(self):
        return self.unix_seconds

    def move(self, seconds):
        self.unix_seconds += seconds
        self.monotonic_seconds += seconds


@pytest.fixture
def issuer(tmp_path):
    return Issuer(str(tmp_path / "ca"), IDENTITY, "td", ("alias",), 24 * 3600)


def test_a_certificate_is_renewed_around_half_its_life(issuer, monkeypatch):
    one = Renewal(issuer)
    first = one.materials
    assert first.identity == IDENTITY
    clock = Clock(monkeypatch, first.not_before)
    life, used = first.not_after - first.not_before, []
    clock.move(life * 0.44)
    one.turn(used.append)
    assert used == []
    clock.move(life * 0.12)
    one.turn(used.append)
    (second,) = used
    assert second is one.materials
    assert second.serial != first.serial


def test_sidecars_do_not_renew_at_once(issuer, monkeypatch):
    renewed = set()
    for _ in range(40):
        with monkeypatch.context() as patch:
            one = Renewal(issuer)
            clock = Clock(patch, one.materials.not_before)
            life, used = one.materials.not_after - one.materials.not_before, []
            for step in range(45, 57):
                clock.unix_seconds = one.materials.not_before + life * step / 100
                clock.monotonic_seconds += 2
                one.turn(used.append)
                if used:
                    renewed.add(step)
                    break
    assert len(renewed) > 3


def test_a_failure_keeps_what_is_used_and_is_tried_again(issuer, monkeypatch, tmp_path, caplog):
    one = Renewal(issuer)
    clock = Clock(monkeypatch, one.materials.not_after)
    hidden, used, first = tmp_path / "hidden", [], one.materials
    (tmp_path / "ca" / authority.KEY).rename(hidden)
    clock.move(2)
    one.turn(used.append)
    assert (used, one.materials) == ([], first)
    assert "not renewed" in caplog.text
    hidden.rename(tmp_path / "ca" / authority.KEY)
    clock.move(2)
    one.turn(used.append)
    assert used == []  # not so soon
    clock.move(renewal.RETRY_SECONDS)
    one.turn(used.append)
    assert len(used) == 1


def test_files_are_read_again_when_they_change(tmp_path, monkeypatch):
    ca = authority.open_or_create(str(tmp_path / "ca"), "td")
    files = Files(*(str(tmp_path / name) for name in ("chain", "key", "roots")))

    def write():
        issued = ca.issue(IDENTITY, 3600)
        (tmp_path / "chain").write_text(issued.chain)
        (tmp_path / "key").write_text(issued.key)
        (tmp_path / "roots").write_text(issued.root)
        return issued.serial.lstrip("0")

    first = write()
    one = Renewal(Given(files, "td", ()))
    clock, used = Clock(monkeypatch, 0), []
    clock.move(2)
    one.turn(used.append)
    assert (used, one.materials.serial.lstrip("0")) == ([], first)
    second = write()
    clock.move(2)
    one.turn(used.append)
    assert one.materials.serial.lstrip("0") == second
    (tmp_path / "key").unlink()
    with pytest.raises(CertificateError, match="key: no such file"):
        Renewal(Given(files, "td", ()))


def test_files_that_are_written_one_after_the_other_are_read_when_all_are(
    tmp_path, monkeypatch, caplog
):
    ca = authority.open_or_create(str(tmp_path / "ca"), "td")
    made, other = ca.issue(IDENTITY, 3600), ca.issue(IDENTITY, 3600)
    paths = {name: tmp_path / name for name in ("chain", "key", "roots")}
    for path, text in zip(paths.values(), (made.chain, made.key, made.root), strict=True):
        path.write_text(text)
    one = Renewal(Given(Files(*map(str, paths.values())), "td", ()))
    clock, used = Clock(monkeypatch, 0), []
    paths["chain"].write_text(other.chain)
    for _ in range(5):
        clock.move(2)
        one.turn(used.append)
    assert used == []
    assert caplog.text.count("private key does not belong") == 1
    paths["key"].write_text(other.key)
    clock.move(2)
    one.turn(used.append)
    assert [materials.serial.lstrip("0") for materials in used] == [other.serial.lstrip("0")]


def test_a_revocation_list_is_read_with_the_files_and_named_when_it_is_broken(tmp_path):
    made = authority.open_or_create(str(tmp_path / "ca"), "td").issue(IDENTITY, 3600)
    paths = [tmp_path / name for name in ("chain", "key", "roots", "crl")]
    for path, text in zip(paths, (made.chain, made.key, made.root, ""), strict=True):
        path.write_text(text)
    with pytest.raises(CertificateError) as refused:
        Given(Files(*map(str, paths)), "td", ()).issue()
    assert str(refused.value).startswith(f"{paths[3]}: revocation list cannot be used")


BROKEN = "-----BEGIN {0}-----\nAAAA\n-----END {0}-----\n"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("chain", "no PEM", "no certificate in it, give a file in PEM form"),
        ("key", "no PEM", "no private key in it, give a file in PEM form"),
        ("roots", "no PEM", "no certificate in it, give a file in PEM form"),
        ("roots", BROKEN.format("PRIVATE KEY"), "no certificate in it"),
        ("chain", BROKEN.format("CERTIFICATE"), "certificate is malformed"),
        ("key", BROKEN.format("PRIVATE KEY"), "private key cannot be used"),
        ("roots", BROKEN.format("CERTIFICATE"), "certificate is malformed"),
        ("roots", BROKEN.format("CERTIFICATE").replace("AAAA", "!!"), "PEM cannot be read"),
    ],
)
def test_a_given_file_that_cannot_be_used_is_named(issuer, tmp_path, file, text, said):
    made = authority.open_or_create(issuer.directory, "td").issue(IDENTITY, 3600)
    paths = {name: tmp_path / f"{name}.pem" for name in ("chain", "key", "roots")}
    for path, good in zip(paths.values(), (made.chain, made.key, made.root), strict=True):
        path.write_text(good)
    given = Given(Files(*map(str, paths.values())), "td", ())
    given.issue()
    paths[file].write_text(text)
    with pytest.raises(CertificateError) as refused:
        given.issue()
    assert str(refused.value).startswith(f"{paths[file]}: {said}")


def test_the_key_of_another_certificate_is_named(issuer, tmp_path):
    ca = authority.open_or_create(issuer.directory, "td")
    made, other = ca.issue(IDENTITY, 3600), ca.issue(IDENTITY, 3600)
    paths = [tmp_path / name for name in ("chain", "key", "roots")]
    for path, text in zip(paths, (made.chain, other.key, made.root), strict=True):
        path.write_text(text)
    with pytest.raises(CertificateError) as refused:
        Given(Files(*map(str, paths)), "td", ()).issue()
    assert str(refused.value).startswith(f"{paths[1]}: private key does not belong")
