"""The operator's client: jobs to devices, results back."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from waspi.errors import BrokerError, NoAnswerError, OperatorError, RefusedByBrokerError, UsageError
from waspi.fleet.client_session import ClientSession, signed_by
from waspi.fleet.job_handle import GroupHandle, JobHandle
from waspi.fleet.job_order import JobOptions, JobOrder
from waspi.fleet.pending_job import Delivery
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.message import Outgoing
from waspi.mqtt.settings import LinkSettings, Tls
from waspi.protocol.cancel import encode_cancel
from waspi.protocol.ids import check_id
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.signed_request import cancel_of
from waspi.protocol.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Unpack

    from typing_extensions import Buffer

    from waspi.fleet.event import FleetEvent
    from waspi.fleet.key_file import KeyFile
    from waspi.fleet.module_source import ModuleSource
    from waspi.fleet.registry import DeviceView
    from waspi.model.result import Result

CONNECT_TIMEOUT_S = 15.0
SURVEY_TIMEOUT_S = 30.0
SURVEY_MAX_AGE_S = 30.0
SESSION_EXPIRY_S = 600
"""How long the broker keeps answers for a client that lost its connection."""


class FleetStates(dict[str, "DeviceView"]):
    """Devices by id, as they were found by one look at the fleet."""

    def __init__(self, views: Mapping[str, DeviceView], silent: frozenset[str]) -> None:
        super().__init__(views)
        self.silent = silent
        """Devices that the broker holds to be online and that did not answer: what is known of them may be old."""


class Client:
    """A fleet, seen from the operator's side. Thread-safe, a context manager.

    ::

        with Client("mqtt://localhost:1883") as fleet:
            result = fleet.run("pi-7", Path("append.wasm"), b"The input string", timeout=10)
            handles = [fleet.submit("pi-7", "stats@1.2.0", reading) for reading in readings]
            outputs = [handle.result(30).output for handle in handles]

    ``broker``: ``mqtt://[user:password@]host[:port]`` or ``mqtts://…``. ``fleet``: the fleet's id. ``client_id``: an id
    of the protocol, unique at the broker; by default a random one. ``signing_key``: signs every job (each then expires,
    by default in one to two hours). ``window``: jobs without an answer at once; ``submit`` waits above it.

    A job is sent again by itself when the connection, the broker's memory or the device's was lost; it has one result
    and its effects happen once, whatever happens.
    """

    def __init__(
        self,
        broker: str | BrokerAddress,
        *,
        fleet: str = "default",
        tls: Tls | None = None,
        username: str | None = None,
        password: str | None = None,
        client_id: str | None = None,
        signing_key: KeyFile | None = None,
        window: int = 1000,
    ) -> None:
        self.id = check_id(client_id or f"op-{secrets.token_hex(8)}", "client")
        self._address = BrokerAddress.parse(broker) if isinstance(broker, str) else broker
        self._topics = Topics(fleet)
        self._signing_key = signing_key
        settings = LinkSettings(
            address=self._address,
            client_id=self.id,
            tls=tls,
            username=username,
            password=password,
            session_expiry_s=SESSION_EXPIRY_S,
        )
        self._settings = settings
        self._room = threading.BoundedSemaphore(window)
        self._opening = threading.Lock()
        self._open: ClientSession | None = None
        self._closed = False

    def connect(self, timeout: float = CONNECT_TIMEOUT_S) -> Self:
        """Connect and prove that answers can come; later losses of the connection mend themselves. Idempotent.

        Raises a :class:`BrokerError`: cannot be reached, refuses, TLS fails, or withholds answers from this client;
        then it may be called again.
        """
        self._session(timeout)
        return self

    def _session(self, timeout: float = CONNECT_TIMEOUT_S) -> ClientSession:
        with self._opening:
            if self._closed:
                raise UsageError("the client is closed; make a new one")
            if self._open is None:
                self._open = self._connected(timeout)
            return self._open

    def _connected(self, timeout: float) -> ClientSession:
        ready: Future[None] = Future()

        def on_ready(reason: BrokerError | None) -> None:
            if not ready.done():
                ready.set_exception(reason) if reason is not None else ready.set_result(None)

        session = ClientSession(self._settings, self._topics, on_ready, self._signing_key)
        session.start()
        try:
            ready.result(timeout)
        except FutureTimeoutError as error:
            session.loop.close()
            raise NoAnswerError(f"{self._address}: the broker did not answer in {timeout:g} s") from error
        except BaseException as error:
            session.loop.close()
            if isinstance(error, BrokerError) and isinstance(error.__cause__, OperatorError):
                raise error.__cause__ from None  # a file that cannot be loaded is not the broker's fault
            raise
        return session

    def submit(
        self,
        device: str,
        module: ModuleSource,
        input: Buffer | Sequence[Buffer],  # noqa: A002 - the protocol's own word
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Send a job and return at once (or when the window has room).

        ``module``: bytes, a path, ``sha256:<hex>``, ``name[@version]`` or a reference of :mod:`waspi.model.module`.
        ``input``: bytes, or a list of them for a batch on one instance each. For ``options`` see :class:`JobOptions`.

        Raises :class:`OperatorError` or :class:`EnvelopeError` for what can be seen to be wrong from here.
        """
        session = self._session()
        order = JobOrder.make(module, input, device=device, signing_key=self._signing_key, options=options)
        handle = JobHandle(
            order.id,
            device,
            explain=lambda: self._explain(device, order.id),
            withdraw=lambda: self._withdraw(order.id),
        )

        def on_result(result: Result) -> bool:
            handle.future.set_result(result)
            return True

        if not session.loop.inside:  # there, waiting for room would keep the answers from coming that make room
            self._room.acquire()
            handle.future.add_done_callback(lambda _: self._room.release())
        pending = order.pending(self._topics, on_result, handle.fail, handle.taken.set)
        session.loop.call(lambda: session.submit(pending))
        return handle

    def run(
        self,
        device: str,
        module: ModuleSource,
        input: Buffer | Sequence[Buffer],  # noqa: A002 - the protocol's own word
        *,
        timeout: float | None = 60.0,
        **options: Unpack[JobOptions],
    ) -> Result:
        """Send a job and wait for its result, whatever its state; see :meth:`submit` and :meth:`JobHandle.result`."""
        handle = self.submit(device, module, input, **options)
        try:
            return handle.result(timeout)
        except NoAnswerError:
            handle.forget()
            raise

    def submit_group(
        self,
        group: str,
        module: ModuleSource,
        input: Buffer | Sequence[Buffer],  # noqa: A002 - the protocol's own word
        **options: Unpack[JobOptions],
    ) -> GroupHandle:
        """Send a job to every device of a group; its handle gives their results as they come.

        Which devices are expected to answer is taken from what they report: online, and in the group.
        """
        views = self.devices().values()
        expected = {view.id for view in views if view.online and group in view.groups}
        order = JobOrder.make(module, input, group=group, signing_key=self._signing_key, options=options)
        handle = GroupHandle(order.id, group, expected, withdraw=lambda: self._withdraw(order.id))
        pending = order.pending(self._topics, handle.put, handle.fail, handle.taken.set)
        session = self._session()
        session.loop.call(lambda: session.submit(pending))
        return handle

    def cancel(self, device: str, job_id: str, *, reason: str = "", timeout: float = 10.0) -> None:
        """Ask ``device`` to stop a job, queued or running; its result will say CANCELED, or what it ended as before.

        Returns when the broker has it. Raises :class:`BrokerError`, :class:`NoAnswerError` after ``timeout`` seconds.
        """
        body = encode_cancel(reason)
        if self._signing_key is not None:
            body = signed_by(self._signing_key, body, what=cancel_of(job_id), device=device)
        message = Outgoing(self._topics.cancel(device, job_id), body, content_type=CONTENT_TYPE)
        self._publish(message, timeout)

    def devices(self, timeout: float = SURVEY_TIMEOUT_S, *, max_age: float = SURVEY_MAX_AGE_S) -> FleetStates:
        """Give the fleet's devices by id: whether they are online, and what they report of themselves.

        The devices are asked themselves, over a second, or a minute for 100,000 of them. A look that is not older than
        ``max_age`` seconds will do, since changes are told as they happen. Raises :class:`NoAnswerError` after
        ``timeout`` seconds.
        """
        session = self._session()
        found: Future[FleetStates] = Future()

        def end(silent: frozenset[str]) -> None:
            found.set_result(FleetStates(session.registry.all(), silent))

        session.loop.call(lambda: session.survey(end, max_age))
        try:
            return found.result(timeout)
        except FutureTimeoutError as error:
            raise NoAnswerError(f"{self._address}: the fleet's states were not told in {timeout:g} s") from error

    def device(self, device: str, timeout: float = SURVEY_TIMEOUT_S) -> DeviceView:
        """Give what the broker keeps of one device, which may be nothing; the device itself is not asked.

        Raises :class:`NoAnswerError` after ``timeout`` seconds.
        """
        check_id(device, "device")
        session = self._session()
        done: Future[DeviceView] = Future()
        session.loop.call(lambda: session.look(device, lambda: done.set_result(session.registry.get(device))))
        try:
            return done.result(timeout)
        except FutureTimeoutError as error:
            raise NoAnswerError(f"{self._address}: what is kept of {device} was not told in {timeout:g} s") from error

    def forget(self, device: str, timeout: float = SURVEY_TIMEOUT_S) -> None:
        """Clear what the broker keeps of a device that is gone: its presence and its reported state.

        A device that is there after all says both again when it connects next. Each step may take ``timeout`` seconds.
        Raises :class:`RefusedByBrokerError` where this client may not write there, :class:`NoAnswerError`.
        """
        self.device(device, timeout)  # so that it is heard here when both are cleared
        for topic in (self._topics.reported(device), self._topics.presence(device)):
            self._publish(Outgoing(topic, b"", retain=True), timeout)
        left = self.device(device, timeout)
        if left.presence is not None or left.reported is not None:
            raise RefusedByBrokerError(
                f"the broker at {self._address} took the request, and what it keeps of {device} did not go: this user "
                "may not write there, or the device has just said it again"
            )

    def watch(self, callback: Callable[[FleetEvent], None]) -> Callable[[], None]:
        """Have ``callback`` told everything that the fleet's devices say; returns what ends that.

        The devices' present states come first. It is called on the client's thread: it must be short. One that raises
        is told nothing any more; what it raised stands in the log.
        """
        session = self._session()

        def begin() -> None:
            session.watch(callback)

        def end() -> None:
            if callback in session.watchers:
                session.watchers.remove(callback)

        def end_soon() -> None:
            with contextlib.suppress(UsageError):  # closed: nobody is told anything any more
                session.loop.call(end)

        session.loop.call(begin)
        return end_soon

    def close(self) -> None:
        """End the session; jobs that still wait fail with :class:`NoAnswerError`. Idempotent."""
        with self._opening:
            self._closed = True
        if self._open is not None:
            self._open.loop.close()

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _publish(self, message: Outgoing, timeout: float) -> None:
        session = self._session()
        done: Future[None] = Future()

        def answered(refused: BrokerError | None) -> None:
            done.set_result(None) if refused is None else done.set_exception(refused)

        session.loop.call(lambda: session.publish(message, answered))
        try:
            done.result(timeout)
        except FutureTimeoutError as error:
            raise NoAnswerError(f"{self._address}: the broker did not acknowledge in {timeout:g} s") from error

    def _withdraw(self, job_id: str) -> None:
        session = self._open
        if session is not None:
            with contextlib.suppress(UsageError):  # closed: its jobs have ended
                session.loop.call(lambda: session.withdraw(job_id))

    def _explain(self, device: str, job_id: str) -> str:
        session = self._session()
        delivery = session.state_of(job_id)
        if not session.path_open:
            return f"no answer can come from the broker at {self._address} at present"
        if delivery in {Delivery.WAITING, Delivery.SENT}:
            return f"the broker at {self._address} did not take the job so far"
        view = session.registry.get(device)
        if session.unheard(job_id) and view.presence is not None and not view.online:
            return (
                f"device {device} is offline and the broker at {self._address} has no session of it any more, so it "
                "did not keep the job; it is sent again when the device comes while somebody waits for it"
            )
        said = session.said_of(job_id)
        last = "did not answer so far" if said is None else f"last said that the job is {said}"
        return self._explain_device(view, last)

    def _explain_device(self, view: DeviceView, last: str) -> str:
        if view.unreadable:
            return f"device {view.id} says of itself what cannot be read ({view.unreadable}), and {last}"
        if view.presence is None:
            return f"device {view.id} never announced itself in fleet {self._topics.fleet}; are both names right?"
        since = datetime.fromtimestamp(view.presence.since, UTC).isoformat(" ", "seconds")
        if not view.online:
            return f"device {view.id} is offline since {since}; the broker keeps the job for it"
        if view.presence.degraded:
            return f"device {view.id} is online since {since} and takes no jobs for now ({view.presence.degraded})"
        return f"device {view.id} is online since {since} and {last}"
