"""A DICOM node: films come by C-STORE, reports go by C-STORE to the peer that the configuration names for their sender.

A film is a file in the folder ``waiting`` until its objects are at their destination, then in ``done``; nothing else is
remembered, so the node may be killed at any point.  Private parts of pynetdicom 3.0 are used where it sets no bounds.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import ssl
import threading
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from hipdet.core.errors import ConfigError, RadiographError
from hipdet.core.files import locked, replacing, write_json
from hipdet.core.records import Record, read_json
from hipdet.inference.detections import FilmRois
from hipdet.inference.detector import HipDetector, RoiDetector
from hipdet.inference.dicom_objects import ObjectMaker, read_source
from hipdet.inference.film_list import FilmSource
from hipdet.inference.review import FLAGS
from hipdet.inference.selection import HeaderFilter

# computed radiography, digital X-ray for presentation and for processing, secondary capture
FILM_CLASSES = [f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("1", "1.1", "1.1.1", "7")]
OBJECT_CLASSES = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.11.1")  # report, presentation state
SYNTAXES = [f"1.2.840.10008.1.2{end}" for end in (".1", "", ".4.50", ".4.80", ".4.81", ".4.90", ".4.91", ".5")]
LIMITS = dict(  # usual, lowest, highest: see docs/guide/dicom_node.md
    associations=(10, 1, 100), object_bytes=(1 << 28, 1 << 16, 1 << 31), object_seconds=(600, 1, 86400),
    seconds=(30, 1, 3600), film_seconds=(60, 1, 3600), queue=(10_000, 1, 1_000_000), free_bytes=(1 << 30, 0, 1 << 50),
    health_seconds=(60, 1, 86400),
)  # fmt: skip
# flags of films that may be of other kinds
WITHHELD = {"low_score", "odd_ratio", "odd_position", "unequal_sizes", "more_rois"}
MOST_BYTES = 1 << 20  # that a peer may send at once, and in a message without film
MOST_TRIES = 5  # how often the node may end while it is at a film
LONGEST_PAUSE = 300.0  # seconds between attempts to send
ROOM, OTHER_CLASS, UNCLEAR = 0xA700, 0xA900, 0xC000  # PS3.4 B.2.3
_TITLE = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")  # PS3.5 6.2
Peer = tuple[str, int, str, ssl.SSLContext | None]  # host, port, AE title, TLS


class NodeConfig:
    """The configuration in a JSON file, see docs/guide/dicom_node.md; paths in it start from its folder.

    Raises:
        ConfigError: an entry is missing, unknown or not valid.
    """

    def __init__(self, path: Path) -> None:
        remedy, root, none = "see docs/guide/dicom_node.md", path.parent, dict[str, Any]()
        values = Record.of(read_json(path, "the configuration of a DICOM node", ConfigError), path, ConfigError, remedy)
        known = "ae_title port folder films keep_days peers bind model rois threads presentation_states limits tls"
        _require_known(values, known)
        headers, peers = values.record("films"), values.record("peers")
        limits = Record.of(values.values.get("limits", none), f"{path}: limits", ConfigError, remedy)
        _require_known(headers, "Modality BodyPartExamined ViewPosition")
        _require_known(limits, " ".join(LIMITS))
        self.ae_title = _title(values, values.text("ae_title"))
        self.place = values.text("bind", "127.0.0.1"), values.whole("port", 1, 65535)
        self.folder = root / values.text("folder")
        self.films = HeaderFilter.of(**{key: headers.texts(key) for key in headers.values})
        self.presentation_states = values.flag("presentation_states", default=True)
        self.keep_days = values.number("keep_days", 0, 36500)
        self.limits = {key: limits.whole(key, low, high, usual) for key, (usual, low, high) in LIMITS.items()}
        self.tls = _tls(values, root, ssl.Purpose.CLIENT_AUTH)
        self.peers = {_title(peers, name): _peer(peers.record(name), root) for name in peers.values}
        if not self.peers:
            values.refuse("peers", "a destination for each calling AE title")
        model = root / values.text("model") if "model" in values.values else None
        threads, seconds = values.whole("threads", 1, 1024, None), self.limits["film_seconds"]
        self.detector = dict(model=model, rois=values.values.get("rois"), threads=threads, film_timeout=seconds)


def _require_known(record: Record, keys: str) -> None:
    if unknown := [key for key in record.values if key not in keys.split()]:
        record.refuse(unknown[0], f"only {', '.join(keys.split())}")


def _title(record: Record, title: str) -> str:
    if not _TITLE.fullmatch(title):
        raise ConfigError(f"{record.where}: AE title {title!r}, expected 1 to 16 letters of ASCII without backslash")
    return title


def _peer(record: Record, root: Path) -> Peer:
    _require_known(record, "ae_title host port tls")
    tls = _tls(record, root, ssl.Purpose.SERVER_AUTH)
    return record.text("host"), record.whole("port", 1, 65535), _title(record, record.text("ae_title")), tls


def _tls(record: Record, root: Path, purpose: ssl.Purpose) -> ssl.SSLContext | None:
    """The entry ``tls``: with ``ca``, a server takes only clients that it signed, and a client only such a server."""
    if "tls" not in record.values:
        return None
    entry, server = record.record("tls"), purpose is ssl.Purpose.CLIENT_AUTH
    _require_known(entry, "certificate key ca")
    ca = str(root / entry.text("ca")) if "ca" in entry.values else None
    try:
        context = ssl.create_default_context(purpose, cafile=ca)
        if server or "certificate" in entry.values:  # the empty password: it asks for none
            context.load_cert_chain(root / entry.text("certificate"), root / entry.text("key"), "")
    except OSError as error:
        raise ConfigError(f"{entry.where}: {error.strerror or error}, expected PEM files without password") from error
    if server and ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class _Refused(Exception):
    """The destination doesn't take an object, but may take others."""


class _Spool(io.FileIO):
    """The file of an object that arrives, in pynetdicom's place of a temporary one.  What it has no room for is dropped."""

    def __init__(self, folder: Path, limits: Mapping[str, int]) -> None:
        super().__init__(str(folder / uuid4().hex), "xb")
        self.file, self._size, self._most = self, 0, limits["object_bytes"]  # pynetdicom flushes `file`
        self._end = time.monotonic() + limits["object_seconds"]
        self.fault = "disk full" if shutil.disk_usage(folder).free < limits["free_bytes"] else ""

    def write(self, data: Any) -> int:
        """Store `data`; TimeoutError, which ends the association, if the object takes too long."""
        self._size += len(data)
        if time.monotonic() > self._end:
            self.truncate(0)
            raise TimeoutError
        if not self.fault:
            self.fault = "too large" if self._size > self._most else "disk full"
            with suppress(OSError):
                if self._size <= self._most and super().write(data) == len(data):
                    self.fault = ""
            if self.fault:
                self.truncate(0)
        return len(data)


def _guard(event: Any, seconds: float) -> None:
    """Bound what a peer sends at once, and the time that it takes for it, which pynetdicom doesn't."""
    assoc, transport, dimse = event.assoc, event.assoc.dul.socket, event.assoc.dimse
    receive = dimse.receive_primitive
    transport.socket.settimeout(seconds)

    def recv(count: int) -> bytearray:
        end, data = time.monotonic() + seconds, bytearray()
        if count > MOST_BYTES:
            raise OSError
        while len(data) < count:
            transport.socket.settimeout(max(end - time.monotonic(), 1e-3))
            piece = transport.socket.recv(count - len(data))
            if not piece:
                break
            data += piece
        transport.socket.settimeout(seconds)
        return data

    def receive_primitive(primitive: Any) -> None:
        receive(primitive)
        held = dimse.message.encoded_command_set.tell() + dimse.message.data_set.tell() if dimse.message else 0
        if held > MOST_BYTES or dimse.msg_queue.qsize() > 1:  # nobody sends another film before the answer
            dimse.message = None
            assoc.dul.event_queue.put("Evt19")  # which aborts

    transport.recv, dimse.receive_primitive = recv, receive_primitive


class DicomNode:
    """A node; CheckpointError if there is no such model."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self._counts: Counter[str] = Counter()
        self._last_error, self._lock, self._next_report = "", threading.Lock(), 0.0
        self._peers = {sha256(title.encode()).hexdigest()[:8]: peer for title, peer in config.peers.items()}
        self._pauses: dict[str, tuple[float, float]] = {}  # of films and peers: until when, and how long
        self._detector: RoiDetector = HipDetector(**config.detector)
        self._maker = ObjectMaker.of(self._detector)
        self._entity: Any = None
        self._folders = [config.folder / name for name in ("arriving", "waiting", "done", "failed")]
        self._arriving, self._waiting, self._done, self._failed = self._folders

    def run(self) -> None:
        """Serve until the process ends; DatasetError if another node has the folder, ConfigError if the port isn't free."""
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
        with locked(self.config.folder / ".lock", f"{self.config.folder}: another node uses it: choose another one"):
            self._serve()
            try:
                while True:
                    if not any(self._step(path) for path in self._films()):
                        self._report()
                        time.sleep(0.2)
            finally:
                self._entity.shutdown()

    def _serve(self) -> None:
        """Start to listen."""
        from pynetdicom import AE, _config, dimse_messages, evt
        from pynetdicom.transport import AssociationServer

        for name in ("pynetdicom", "pydicom", "highdicom", "pylibjpeg"):  # they quote tags
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        warnings.simplefilter("ignore")
        threading.excepthook = lambda fault: self._say("error", fault.exc_type.__name__)
        limits, seconds = self.config.limits, self.config.limits["seconds"]
        _config.STORE_RECV_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL = True, "none"
        messages: Any = dimse_messages
        messages.NamedTemporaryFile = lambda **_: _Spool(self._arriving, limits)

        class Server(AssociationServer):
            def get_request(self) -> Any:  # without the handshake, which would keep all others waiting
                listening: Any = self.socket
                (client, address), tls = listening.accept(), self.ssl_context
                return tls.wrap_socket(client, True, do_handshake_on_connect=False) if tls else client, address

            def verify_request(self, request: Any, address: Any) -> bool:
                return len(self.active_associations) < 2 * limits["associations"]

        self._entity = entity = AE(self.config.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = seconds
        entity.require_called_aet, entity.require_calling_aet = True, list(self.config.peers)
        entity.maximum_associations, entity.maximum_pdu_size = limits["associations"], 1 << 16
        entity.add_supported_context("1.2.840.10008.1.1")  # C-ECHO
        for each in FILM_CLASSES:
            entity.add_supported_context(each, SYNTAXES)
        for each in OBJECT_CLASSES:
            entity.add_requested_context(each, SYNTAXES[:2])
        handlers: Any = [(evt.EVT_CONN_OPEN, _guard, [seconds]), (evt.EVT_C_STORE, self._receive)]
        host, port = self.config.place
        try:
            server: Any = entity.make_server((host, port), None, None, self.config.tls, handlers, Server)
        except OSError as error:
            raise ConfigError(f"{host}, port {port}: {error.strerror}, expected a free one") from error
        server.bind(evt.EVT_REJECTED, lambda _: self._say("refused", "an association"))
        entity._servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        self._say("listening on", f"{host}, port {port}")

    def _receive(self, event: Any) -> Any:
        """Answer C-STORE."""
        from pydicom import Dataset

        answer, calling = Dataset(), event.assoc.requestor.ae_title
        answer.Status, reason = self._take(event.request, calling.strip(), event.request._dataset_file)
        if reason:
            answer.ErrorComment = reason[:64]
            self._say("refused", f"an object: {reason}")
        return answer

    def _take(self, request: Any, calling: str, spool: _Spool) -> tuple[int, str]:
        """Keep a film; DICOM status, which is 0 once it is on the disk, and why it is refused, without patient data."""
        if spool.fault or len(self._films()) >= self.config.limits["queue"]:
            return ROOM, spool.fault or "too many films wait"
        try:
            source = read_source(Path(spool.name), "film")
        except RadiographError as error:  # no report could be made of it
            return UNCLEAR, error.reason
        if source is None or not source.SOPClassUID == request.AffectedSOPClassUID in FILM_CLASSES:
            return OTHER_CLASS, "not of the class that was agreed on"
        sender, name = (sha256(each.encode()).hexdigest() for each in (calling, source.SOPInstanceUID))
        path = self._waiting / f"{sender[:8]}-{name[:32]}.dcm"
        try:
            os.fsync(spool.fileno())
            os.replace(spool.name, path)
            folder = os.open(self._waiting, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        except OSError:
            return ROOM, "disk full"
        self._say("received", path.stem)
        return 0, ""

    def _films(self) -> list[Path]:
        """The films that wait, in the order in which they came."""
        with os.scandir(self._waiting) as found:
            films = [(each.stat().st_mtime_ns, each.path) for each in found if each.name.endswith(".dcm")]
        return [Path(path) for _, path in sorted(films)]

    def _step(self, path: Path) -> bool:
        """Do what can be done for a film now; whether that was anything."""
        self._report()
        name, sender, made, now = path.stem, path.name[:8], path.with_suffix(".sr").exists(), time.monotonic()
        paused, away = (now < self._pauses.get(each, (0.0, 0.0))[0] for each in (name, sender))
        if sender not in self._peers or paused or (made and away):
            return False
        at_fault = name
        try:
            if not made:
                self._make(path)
            if not away:
                at_fault = sender
                self._send(self._peers[sender], path)
                self._finish(path, self._done)
                self._say("answered", name)
        except RadiographError as error:  # no report can be made of it
            self._finish(path, self._failed)
            self._say("failed", f"{name}: {error.reason}")
        except Exception as error:  # of any library: the node lives
            self._say("error", type(error).__name__)  # its text may have patient data
            if isinstance(error, OSError):  # no fault of the film
                path.with_suffix(".tries").unlink(missing_ok=True)
            at_fault = name if isinstance(error, _Refused) else at_fault
            pause = min(2 * self._pauses.get(at_fault, (0.0, 0.5))[1], LONGEST_PAUSE)
            self._pauses[at_fault] = time.monotonic() + pause, pause
        return True

    def _make(self, path: Path) -> None:
        """Write the objects of a film beside it, the report last."""
        with path.with_suffix(".tries").open("ab") as file:
            file.write(b".")
            tries = file.tell()
        source, film = read_source(path, path.stem), self._examine(path, path.stem, tries)
        for kind in ("pr", "sr"):
            target = path.with_suffix(f".{kind}")
            target.unlink(missing_ok=True)
            if kind == "sr" or (self.config.presentation_states and film.error is None):
                with replacing(target) as temporary, temporary.open("wb") as out:
                    out.write(self._maker.make(kind, source, film))
                    out.flush()
                    os.fsync(out.fileno())

    def _examine(self, path: Path, name: str, tries: int) -> FilmRois:
        """The ROIs of a film, or why there are none."""
        if tries > MOST_TRIES:
            return FilmRois(name, path, error=f"the program ended {MOST_TRIES} times while it read the film")
        kept, why = self.config.films.check(FilmSource(name, path))
        if not kept:
            return FilmRois(name, path, error=f"{why}, expected {self.config.films}")
        film = next(iter(self._detector([path])))
        if withheld := [FLAGS[flag] for flag in film.flags if flag in WITHHELD]:
            return replace(film, rois=(), candidates=(), error=f"ROIs were found, and withheld: {'; '.join(withheld)}")
        return film

    def _send(self, peer: Peer, path: Path) -> None:
        """Store the objects of a film at `peer`; _Refused if it doesn't take these, other errors if it takes none."""
        from pydicom import dcmread
        from pynetdicom import evt

        made = path.with_suffix(".sr"), path.with_suffix(".pr")
        objects = [dcmread(each) for each in made if each.exists()]
        guard: Any = [(evt.EVT_CONN_OPEN, _guard, [self.config.limits["seconds"]])]
        host, port, title, tls = peer
        tls_args: Any = tls and (tls, host)
        assoc = self._entity.associate(host, port, ae_title=title, tls_args=tls_args, evt_handlers=guard)
        try:
            for each in objects:
                status = assoc.send_c_store(each).get("Status", ROOM) if assoc.is_established else ROOM
                if status >> 8 == ROOM >> 8:
                    raise ConnectionError
                if status and status >> 12 != 0xB:  # a warning
                    raise _Refused
        finally:
            if assoc.is_established:
                assoc.release()

    def _finish(self, path: Path, folder: Path) -> None:
        """Put a film away."""
        for suffix in (".sr", ".pr", ".tries"):
            path.with_suffix(suffix).unlink(missing_ok=True)
        for each in (path.stem, path.name[:8]):
            self._pauses.pop(each, None)
        path.replace(folder / path.name)

    def _say(self, what: str, which: str) -> None:
        """Log and count."""
        with self._lock, suppress(OSError):
            self._counts[what] += 1
            self._last_error = which if what == "error" else self._last_error
            print(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {what} {which}", flush=True)

    def _report(self) -> None:
        """When it is time: remove old files, and say how the node is."""
        if time.monotonic() < self._next_report:
            return
        limits, now = self.config.limits, time.time()
        self._next_report = time.monotonic() + limits["health_seconds"]
        rests = [*self._arriving.iterdir(), *self._waiting.glob(".*")]  # of broken associations, and of a killed node
        films = [*self._done.iterdir(), *self._failed.iterdir()]
        for paths, seconds in ((rests, 60 + 2 * limits["seconds"]), (films, 86400 * self.config.keep_days)):
            for path in paths:
                with suppress(FileNotFoundError):  # it has arrived
                    if path.stat().st_mtime < now - seconds:
                        path.unlink()
        health: dict[str, Any] = {key: self._counts[key] for key in ("received", "answered", "failed", "refused")}
        health.update(waiting=len(self._films()), last_error=self._last_error)
        health["free_bytes"] = shutil.disk_usage(self.config.folder).free
        self._say("health", json.dumps(health))
        with suppress(OSError):
            write_json(self.config.folder / "health.json", {"time": datetime.now(timezone.utc).isoformat(), **health})
