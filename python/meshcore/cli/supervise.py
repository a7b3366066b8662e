"""The small process above a sidecar: `python -m meshcore.cli.supervise SETTINGS ABOVE`.

`meshcore run --supervise` becomes this process. It starts the sidecar, keeps its listening sockets,
and starts it again when it dies: connections wait in the sockets meanwhile. The application is a
child of this process, so that it does not end with a sidecar. It imports little, because all of it
stays in memory.

With `--intercept` it also has connections redirected to the sidecar, which runs as another user, so
that its own connections are told from those of the application.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

from meshcore.control import passing
from meshcore.control.passing import Gone, Pair
from meshcore.control.redirected import Redirected

TYPE_CHECKING = False  # as type checkers know it; `typing` would take memory in each process
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from meshcore.control.application import Application

# A sidecar that lived for so long is started again at once; after shorter lives there is a pause,
# which doubles each time. Source of the most: systemd restarts without limit at this pace.
LONG_LIFE_SECONDS = 10.0
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.1, 10.0
# How long a sidecar that hears nothing more may take to end: one whose interpreter a plugin holds
# does not notice.
END_SECONDS = 5.0
# Exit status of a process that a signal ended. Source: POSIX shells.
_SIGNALLED = 128
_INTERRUPTED = 130
_TOLD = (signal.SIGTERM, signal.SIGINT)
# Passed on to the application as they are, as a sidecar does with its own.
_FORWARDED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)


class Supervisor:
    """A sidecar, and the application beside it."""

    def __init__(self, settings: str, above: "dict[str, Any]") -> None:
        """Starts nothing yet.

        Args:
            settings: Those of the sidecar, unread.
            above: `takeover` (whether the first one takes over), `restarts` (whether a dead one
                is started again), `command` of the application, `proxy_variables` that tell it
                where the mesh is, and `intercept` (what is redirected, or nothing).
        """
        self._settings = settings
        self._takeover: bool = above["takeover"]
        self._restarts: bool = above["restarts"]
        self._redirected = Redirected(above["intercept"])
        self._command: list[str] = above["command"]
        self._proxy_variables: list[str] = above["proxy_variables"]
        self._application: Application | None = None
        self._has_application = bool(self._command)  # here, or where it was taken over from
        self._sidecar: int | None = None
        self._channel: socket.socket | None = None
        self._listeners: list[Pair] = []
        self._was_ready = self._is_ready = False
        self._has_heir = False
        self._stops = 0
        self._signals: list[int] = []
        self._began = self._start_at = time.monotonic()
        self._pause = 0.0
        self._woken, wakes = socket.socketpair()
        self._woken.settimeout(0.0)
        wakes.settimeout(0.0)
        self._wakes = wakes

    def run(self) -> int:
        """Keeps both going until one of them has ended for good; returns the exit status."""
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        for number in (*_TOLD, signal.SIGHUP, *_FORWARDED, signal.SIGCHLD):
            signal.signal(number, self._heard)
        try:
            self._start()
            while (status := self._turn()) is None:
                self._wait()
        finally:
            self._close()
        return status

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._sidecar = self._spawn(theirs.fileno())
            except OSError:
                ours.close()
                raise
        self._takeover = False
        self._began, self._channel, self._is_ready = time.monotonic(), ours, False

    def _spawn(self, channel: int) -> int:
        launch = {
            "takeover": self._takeover,
            "supervisor": channel,
            "redirects": self._redirected.user is not None,
            "application": self._has_application,
            "listeners": self._listeners,
        }
        inherited = [channel, *(descriptor for _, descriptor in self._listeners)]
        command = [
            sys.executable, "-P", "-m", "meshcore.cli.sidecar",
            self._settings, json.dumps(launch),
        ]  # fmt: skip
        # A group of its own: Ctrl-C is our business.
        environment = os.environ  # noqa: TID251 - handed on
        _set_inheritable(inherited, inheritable=True)
        try:
            if self._redirected.user is not None:
                return _spawn_as(self._redirected.user, command)
            return os.posix_spawn(sys.executable, command, environment, setpgroup=0)
        finally:
            _set_inheritable(inherited, inheritable=False)

    def _start_again(self) -> None:
        """Starts it when the machine has a process for us; later when it has none."""
        try:
            self._start()
        except OSError as error:
            self._put_off(f"the sidecar cannot be started ({error})", _next_pause(self._pause))

    def _put_off(self, why: str, pause: float) -> None:
        self._pause, self._start_at = pause, time.monotonic() + pause
        _say(f"ERROR {why}: starting it again" + (f" in {pause:.1f} s" if pause else ""))

    def _turn(self) -> int | None:
        """Looks after whatever has happened; returns the exit status when all is over."""
        self._forward()
        ended = self._ended()
        if self._stops:
            self._keep([])  # who connects now is to be refused, as without a supervisor
        status = self._application.status() if self._application is not None else None
        if status is not None and self._stops <= 1:
            _say(f"INFO the application ended with status {status}")
            return status
        if ended is not None:
            return self._after(ended)
        if self._sidecar is not None or (self._has_heir and not self._stops):
            return None
        if self._stops:
            return self._stop_application(0)
        if time.monotonic() >= self._start_at:
            self._start_again()
        return None

    def _after(self, status: int) -> int | None:
        """The sidecar ended. Returns the exit status, unless something is left to do."""
        if self._has_heir and self._application is not None and not self._stops:
            _say("INFO the sidecar was taken over from: the application stays here")
            return None
        if self._stops or self._has_heir or status == 0 or not self._starts_again():
            self._keep([])  # the application may take its time
            return self._stop_application(status)
        if not self._is_ready:
            self._keep([])  # they may be what it cannot start with
        is_long = time.monotonic() - self._began >= LONG_LIFE_SECONDS
        pause = 0.0 if is_long else _next_pause(self._pause)
        self._put_off(f"the sidecar died with status {status}", pause)
        return None

    def _starts_again(self) -> bool:
        return self._restarts and self._was_ready

    def _ended(self) -> int | None:
        """Returns the exit status of the sidecar, once."""
        self._hear()
        if self._sidecar is None:
            return None
        pid, status = os.waitpid(self._sidecar, os.WNOHANG)
        if pid == 0:
            return None
        self._hear()  # what it said last
        self._sidecar = None
        self._hang_up()
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else _SIGNALLED - code

    def _hear(self) -> None:
        while self._channel is not None and passing.is_readable(self._channel):
            try:
                message, listeners = passing.receive(self._channel)
            except Gone:
                self._hang_up()
                return
            if message.get("handed_over"):
                self._has_heir = True
            else:
                self._was_ready = self._is_ready = True
            self._keep(listeners)
            if message.get("addresses"):
                self._redirect(message["addresses"])
            self._has_application |= bool(message.get("application"))
            if message.get("outbound"):
                self._start_application(f"http://{message['outbound']}")

    def _redirect(self, addresses: "dict[str, str | None]") -> None:
        """Has connections redirected to the sidecar before there is an application."""
        if self._redirected.user is None or self._channel is None:
            return
        if not self._redirected.apply(addresses):
            raise SystemExit(1)
        with suppress(Gone):  # it has ended meanwhile, which is seen next
            passing.send(self._channel, {"redirected": True})

    def _keep(self, listeners: list[Pair]) -> None:
        passing.close(self._listeners)
        self._listeners = listeners

    def _start_application(self, outbound: str) -> None:
        if not self._command or self._application is not None:
            return
        # It takes memory, and there may be no application.
        from meshcore.control.application import Application  # noqa: PLC0415
        from meshcore.errors import StartFailed  # noqa: PLC0415

        extra = {"MESHCORE_OUTBOUND": outbound}
        extra |= dict.fromkeys(self._proxy_variables, outbound)
        try:
            self._application = Application(self._command, extra)
        except StartFailed as error:
            _say(f"ERROR {error}")
            raise SystemExit(1) from error

    def _stop_application(self, status: int) -> int:
        if self._application is None:
            return status
        if self._stops > 1:
            self._application.stop(0)
            return _INTERRUPTED
        return self._application.stop() or status

    def _heard(self, number: int, frame: "FrameType | None") -> None:
        """Notes a signal for `_forward`: between any two steps, the sidecar may be half started."""
        del frame
        if number == signal.SIGCHLD:
            return  # it woke us, and that is all
        self._signals.append(number)
        if number in _TOLD:
            self._stops += 1
            if self._stops > 1 and self._application is not None:
                self._application.kill()  # now: we may be waiting for its end

    def _forward(self) -> None:
        """Passes on the signals that came."""
        while self._signals:
            number = self._signals.pop(0)
            if number in _FORWARDED:
                if self._application is not None:
                    self._application.send(number)
            elif self._sidecar is not None and (number in _TOLD or self._is_ready):
                # Also a dead one, as long as it was not waited for. One that starts would die of
                # SIGHUP, and reads the documents and opens its logs anyway.
                os.kill(self._sidecar, signal.SIGTERM if number in _TOLD else number)

    def _wait(self) -> None:
        """Waits for a signal, a message, or the time to start."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if self._channel is not None:
            poll.register(self._channel, select.POLLIN)
        is_due = self._sidecar is None and not self._has_heir
        within_ms = max(0.0, self._start_at - time.monotonic()) * 1000 if is_due else None
        poll.poll(within_ms)
        if passing.is_readable(self._woken):
            self._woken.recv(1 << 12)

    def _close(self) -> None:
        """Lets go of everything. A sidecar that hears nothing from us any more ends at once."""
        self._hang_up()
        passing.close(self._listeners)
        if self._application is not None:
            self._application.stop()
        if self._sidecar is not None:
            _end(self._sidecar)
        if self._has_heir:
            return
        if self._redirected.is_in_force and self._has_application and not self._command:
            _say("WARNING the application stays with another process: its connections stay"
                 " redirected until `meshcore intercept clear`")  # fmt: skip
        elif not self._redirected.clear():
            _say("WARNING connections are still redirected: run `meshcore intercept clear`")

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = None


def _end(pid: int) -> None:
    """Waits for a process that is ending; ends it when a plugin keeps it from that."""
    until = time.monotonic() + END_SECONDS
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(0.02)


def _spawn_as(user: tuple[int, int], command: list[str]) -> int:
    """Starts a process as another user and group, in a group of its own."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        os.setgroups([])
        os.setgid(user[1])
        os.setuid(user[0])
        os.execv(command[0], command)  # noqa: S606 - ourselves
    except OSError as error:
        _say(f"ERROR {command[0]} cannot be run as user {user[0]}: {error.strerror}")
    finally:
        os._exit(1)


def _set_inheritable(descriptors: list[int], *, inheritable: bool) -> None:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, inheritable)


def _next_pause(pause: float) -> float:
    return min(max(FIRST_PAUSE_SECONDS, pause * 2), MOST_PAUSE_SECONDS)


def _say(line: str) -> None:
    sys.stderr.write(time.strftime("%Y-%m-%dT%H:%M:%S ") + line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(Supervisor(sys.argv[1], json.loads(sys.argv[2])).run())
    except KeyboardInterrupt:  # before it listens to signals
        sys.exit(_INTERRUPTED)
