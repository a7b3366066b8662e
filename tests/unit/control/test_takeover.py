"""Old and new process, here in one: who asks, who answers, and who leaves in the middle."""

import os
import resource
import socket
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from meshcore.control import offer, passing, succession, takeover
from meshcore.control.offer import Offer
from meshcore.control.settings import Launch, Settings, Wanted
from meshcore.control.succession import Succession
from meshcore.control.takeover import NobodyRuns, Workload, take
from meshcore.errors import NativeError, StartFailed

WORKLOAD = Workload("/mesh.yaml", "default", "web", "127.0.0.21")
ABOUT = {"version": "2", "application": False, "ready_file": "/ready"}


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


@pytest.fixture
def state(tmp_path):
    """A directory whose path is longer than a Unix socket's address."""
    path = tmp_path / ("long" * 40)
    path.mkdir()
    return str(path)


@pytest.fixture
def old(state):
    one = Offer(state, WORKLOAD, [], application=False)
    yield one
    one.close()


@pytest.fixture
def crowded():
    """Uses up the descriptors that `select.select` knows, as many connections do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    used = [os.open(os.devnull, os.O_RDONLY)]
    while used[-1] < 1024:
        used.append(os.dup(used[0]))
    yield
    for one in used:
        os.close(one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def listeners(listener):
    return [("outbound", os.dup(listener.fileno()))]


def succession_of(state, launch):
    return Succession(launch, Settings(Wanted("web", "default"), "mesh", "0", state))


def asking(state, workload=WORKLOAD, about=ABOUT):
    """Asks on a thread of its own; what it got, or why not, is in the list in the end."""
    got = []

    def ask():
        try:
            got.append(take(state, workload, about))
        except StartFailed as error:
            got.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, got


def answered(old, listener, thread):
    """Lets the old one answer until whoever asked has an answer."""
    while thread.is_alive():
        assert old.turn(lambda: listeners(listener)) is None
        thread.join(0.01)


def test_the_old_one_hears_when_the_new_one_serves(state, old, listener):
    thread, got = asking(state)
    answered(old, listener, thread)
    (taken,) = got
    assert [purpose for purpose, _ in taken.listeners] == ["outbound", offer.PURPOSE]
    assert taken.pid == os.getpid()
    assert old.turn(lambda: listeners(listener)) is None, "it does not serve yet"
    serving = threading.Thread(target=taken.serving)
    serving.start()
    while (heir := old.turn(lambda: listeners(listener))) is None:
        pass
    assert heir["ready_file"] == "/ready"
    old.handed_over()
    serving.join()
    new = Offer(state, WORKLOAD, taken.listeners, application=False)
    passing.close(taken.listeners)
    old.close()  # as the old process ends; what others ask at is the new one's
    thread, got = asking(state)
    answered(new, listener, thread)
    passing.close(got[0].listeners)
    got[0].channel.close()
    new.close()
    with pytest.raises(NobodyRuns):
        take(state, WORKLOAD, ABOUT)


def test_a_new_one_that_leaves_changes_nothing(state, old, listener):
    thread, got = asking(state)
    answered(old, listener, thread)
    passing.close(got[0].listeners)
    got[0].channel.close()
    assert old.turn(lambda: listeners(listener)) is None
    thread, got = asking(state)
    answered(old, listener, thread)
    passing.close(got[0].listeners)
    got[0].channel.close()


@pytest.mark.usefixtures("crowded")
def test_one_with_many_connections_is_taken_over_from(state, old, listener):
    thread, got = asking(state)
    answered(old, listener, thread)
    passing.close(got[0].listeners)
    assert old.turn(lambda: listeners(listener)) is None, "it does not serve yet"
    got[0].channel.close()


@pytest.mark.usefixtures("crowded")
def test_one_with_many_connections_knows_whether_its_supervisor_is_there(state):
    supervisor, ours = socket.socketpair()
    one = succession_of(state, Launch(supervisor=ours.detach()))
    with one._supervisor:
        assert not one.is_orphaned()
        supervisor.close()
        assert one.is_orphaned()


def test_a_new_one_that_never_serves_is_given_up(state, old, listener, monkeypatch):
    monkeypatch.setattr(offer, "SERVING_SECONDS", -1.0)
    thread, got = asking(state)
    answered(old, listener, thread)
    passing.close(got[0].listeners)
    assert old.turn(lambda: listeners(listener)) is None
    with pytest.raises(StartFailed, match="waited for too long and goes on"):
        got[0].serving()


def test_one_that_ends_is_not_taken_over_from(state, old):
    thread, got = asking(state)
    while thread.is_alive():
        old.turn(list)
        thread.join(0.01)
    assert "it is ending" in str(got[0])


def test_one_without_descriptors_refuses_and_goes_on(state, old, listener):
    def none_left():
        raise NativeError("too many open files")

    thread, got = asking(state)
    while thread.is_alive():
        assert old.turn(none_left) is None
        thread.join(0.01)
    assert "its descriptors are used up: try again" in str(got[0])
    thread, got = asking(state)
    answered(old, listener, thread)
    passing.close(got[0].listeners)
    got[0].channel.close()


def test_a_supervised_new_one_without_descriptors_leaves_the_old_one_alone(
    state, old, listener, monkeypatch
):
    thread, got = asking(state)
    answered(old, listener, thread)
    monkeypatch.setattr(succession, "take", lambda *_: got[0])
    supervisor, ours = socket.socketpair()
    new = succession_of(state, Launch(takeover=True, supervisor=ours.detach()))
    new.before(WORKLOAD)
    proxy = Mock()
    proxy.listeners.side_effect = NativeError("too many open files")
    with supervisor, new._supervisor, got[0].channel:
        with pytest.raises(NativeError):
            new.accepting(proxy)
        assert old.turn(lambda: listeners(listener)) is None, "it was told nothing"
        new.close()


def test_one_with_an_application_is_not_given_a_second(state, listener):
    old = Offer(state, WORKLOAD, [], application=True)
    thread, got = asking(state, about={**ABOUT, "application": True})
    answered(old, listener, thread)
    assert "its application stays with it" in str(got[0])
    old.close()


def test_another_user_is_refused_on_both_sides(state, old, listener, monkeypatch):
    monkeypatch.setattr(takeover, "user_of", lambda _channel: os.geteuid() + 1)
    with pytest.raises(StartFailed, match="another user"):
        take(state, WORKLOAD, ABOUT)
    monkeypatch.undo()
    monkeypatch.setattr(offer, "user_of", lambda _channel: os.geteuid() + 1)
    thread, got = asking(state)
    answered(old, listener, thread)
    assert "it belongs to another user" in str(got[0])


def test_one_that_hangs_is_told_from_one_that_is_gone(state, old, monkeypatch):
    del old
    monkeypatch.setattr(takeover, "ANSWER_SECONDS", 0.05)
    with pytest.raises(StartFailed, match="does not answer"):
        take(state, WORKLOAD, ABOUT)


def test_a_second_sidecar_of_the_workload_offers_nothing(state, old, listener, caplog):
    second = Offer(state, WORKLOAD, [], application=False)
    assert "another sidecar of this workload" in caplog.text
    assert second.listener() == []
    assert second.turn(lambda: listeners(listener)) is None
    second.close()
    assert Path(WORKLOAD.socket_path(state)).exists(), "it is the first one's"
    del old


def test_the_path_of_one_that_died_is_used_again(state, listener):
    dead = Offer(state, WORKLOAD, [], application=False)
    dead.handed_over()  # closes, and leaves the path
    new = Offer(state, WORKLOAD, [], application=False)
    thread, got = asking(state)
    answered(new, listener, thread)
    passing.close(got[0].listeners)
    got[0].channel.close()
    new.close()
