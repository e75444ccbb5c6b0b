"""A DICOM node: films come by C-STORE, reports go by C-STORE to the peer that the configuration names for their sender.

A film is a file in the folder ``waiting`` until its objects are at their destination, then in ``done``; nothing else is
remembered, so the node may be killed at any point.  While the node is at a film, its name has one more plus at the end.
Private parts of pynetdicom 3.0 are used where it sets no bounds.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import ssl
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from hipdet.core.errors import ConfigError, RadiographError
from hipdet.core.files import locked
from hipdet.core.records import Record, read_json
from hipdet.inference.detections import FilmRois
from hipdet.inference.detector import HipDetector, RoiDetector
from hipdet.inference.dicom_objects import ObjectMaker, read_source
from hipdet.inference.film_list import FilmSource
from hipdet.inference.review import FLAGS
from hipdet.inference.selection import HeaderFilter
from hipdet.radiographs.read import own_limits

# computed radiography, digital X-ray for presentation and for processing, secondary capture
FILM_CLASSES = [f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("1", "1.1", "1.1.1", "7")]
OBJECT_CLASSES = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.11.1")  # report, presentation state
SYNTAXES = [f"1.2.840.10008.1.2{end}" for end in (".1", "", ".4.50", ".4.80", ".4.81", ".4.90", ".4.91", ".5")]
LIMITS = dict(  # usual, lowest, highest: see docs/guide/dicom_node.md
    associations=(10, 1, 100), object_bytes=(1 << 28, 1 << 16, 1 << 31), object_seconds=(600, 1, 86400),
    seconds=(30, 1, 3600), film_seconds=(60, 1, 3600), free_bytes=(1 << 30, 0, 1 << 50),
    health_seconds=(60, 1, 86400), retry_seconds=(60, 1, 86400),
)  # fmt: skip
# flags of films that may be of other kinds
WITHHELD = {"low_score", "odd_ratio", "odd_position", "unequal_sizes", "more_rois"}
MOST_BYTES = 1 << 20  # that a peer may send at once, and in a message without film
MOST_TRIES = 5  # how often the node may end while it is at a film
ROOM, OTHER_CLASS, UNCLEAR, DUPLICATE = 0xA700, 0xA900, 0xC000, 0x0111  # PS3.4 B.2.3; PS3.7 C.5.7


class NodeConfig:
    """The configuration in a JSON file, see docs/guide/dicom_node.md; paths in it start from its folder.

    Raises:
        ConfigError: an entry is missing, unknown or not valid.
    """

    def __init__(self, path: Path) -> None:
        root, remedy = path.parent, "see docs/guide/dicom_node.md"
        values = Record.of(read_json(path, "the configuration of a DICOM node", ConfigError), path, ConfigError, remedy)
        known = "ae_title port folder films keep_days peers bind model rois threads presentation_states tls"
        _require_known(values, " ".join((known, *LIMITS)))
        headers, peers = values.record("films"), values.record("peers")
        _require_known(headers, "Modality BodyPartExamined ViewPosition")
        self.ae_title = _title(values, values.text("ae_title"))
        self.place = values.text("bind", "127.0.0.1"), values.whole("port", 1, 65535)
        self.folder = root / values.text("folder")
        self.films = HeaderFilter.of(**{key: headers.texts(key) for key in headers.values})
        self.presentation_states = values.flag("presentation_states", default=True)
        self.keep_days = values.number("keep_days", 0, 36500)
        self.limits = {key: values.whole(key, low, high, usual) for key, (usual, low, high) in LIMITS.items()}
        self.tls = _tls(values, root, ssl.Purpose.CLIENT_AUTH)
        self.peers = {_title(peers, name): _peer(peers.record(name), root) for name in peers.values}
        if not self.peers:
            values.refuse("peers", "a destination for each calling AE title")
        model = root / values.text("model") if "model" in values.values else None
        threads = values.whole("threads", 1, 1024, None)
        self.detector = dict(model=model, rois=values.values.get("rois"), threads=threads)


def _require_known(record: Record, keys: str) -> None:
    if unknown := [key for key in record.values if key not in keys.split()]:
        record.refuse(unknown[0], f"only {', '.join(keys.split())}")


def _title(record: Record, title: str) -> str:
    if not re.fullmatch(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?", title):  # PS3.5 6.2
        raise ConfigError(f"{record.where}: AE title {title!r}, expected 1 to 16 letters of ASCII without backslash")
    return title


def _peer(record: Record, root: Path) -> dict[str, Any]:
    """Arguments of pynetdicom's associate."""
    _require_known(record, "ae_title host port tls")
    host, tls = record.text("host"), _tls(record, root, ssl.Purpose.SERVER_AUTH)
    title = _title(record, record.text("ae_title"))
    return dict(addr=host, port=record.whole("port", 1, 65535), ae_title=title, tls_args=tls and (tls, host))


def _tls(record: Record, root: Path, purpose: ssl.Purpose) -> ssl.SSLContext | None:
    """The entry ``tls``: each side has a certificate, and takes only those of the other side that ``ca`` signed."""
    if "tls" not in record.values:
        return None
    entry = record.record("tls")
    _require_known(entry, "certificate key ca")
    certificate, key, ca = (root / entry.text(each) for each in ("certificate", "key", "ca"))
    try:
        context = ssl.create_default_context(purpose, cafile=str(ca))
        context.load_cert_chain(certificate, key, "")  # the empty password: it asks for none
    except OSError as error:
        raise ConfigError(f"{entry.where}: {error.strerror or error}, expected PEM files without password") from error
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _key(title: str) -> str:
    """What logs and names of files call a peer."""
    return sha256(title.encode()).hexdigest()[:8]


class _Refused(Exception):
    """The destination doesn't take an object, but may take others."""


class _Spool(io.FileIO):
    """The file of an object that arrives, in pynetdicom's place of a temporary one.  What it has no room for is dropped."""

    def __init__(self, folder: Path, limits: Mapping[str, int]) -> None:
        super().__init__(str(folder / uuid4().hex), "xb")
        self.file, self.digest, self._most = self, sha256(), limits["object_bytes"]  # pynetdicom flushes `file`
        self._end = time.monotonic() + limits["object_seconds"]
        self.fault = "disk full" if shutil.disk_usage(folder).free < limits["free_bytes"] else ""

    def write(self, data: Any) -> int:
        """Store `data`; TimeoutError, which ends the association, if the object takes too long."""
        if time.monotonic() > self._end:
            raise TimeoutError
        if not self.fault:
            self.digest.update(data)
            self.fault = "disk full"
            with suppress(OSError):
                if super().write(data) == len(data):
                    self.fault = "too large" if self.tell() > self._most else ""
            if self.fault:
                self.truncate(0)
        return len(data)


def _bound(event: Any, seconds: float) -> None:
    """Bound what a peer sends at once, and the time that it takes for it, which pynetdicom doesn't."""
    transport, connection = event.assoc.dul.socket, event.assoc.dul.socket.socket
    connection.settimeout(seconds)

    def recv(count: int) -> bytearray:  # too few bytes end the association
        end, data = time.monotonic() + seconds, bytearray()
        while len(data) < count <= MOST_BYTES and time.monotonic() < end:
            if not (piece := connection.recv(count - len(data))):
                break
            data += piece
        return data

    transport.recv = recv


def _require_little(event: Any) -> None:
    """Abort an association that holds more in memory than a command, or doesn't wait for the answer to a film."""
    dimse = event.assoc.dimse
    held = dimse.message.encoded_command_set.tell() + dimse.message.data_set.tell() if dimse.message else 0
    if held > MOST_BYTES or dimse.msg_queue.qsize() > 1:
        dimse.message = None
        event.assoc.dul.event_queue.put("Evt19")  # as if it were an invalid PDU


class DicomNode:
    """A node; CheckpointError if there is no such model."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self._counts: Counter[str] = Counter()
        self._lock, self._next_report = threading.Lock(), 0.0
        self._peers = {_key(title): peer for title, peer in config.peers.items()}
        self._pauses: dict[str, float] = {}  # until when films and peers aren't tried again
        self._detector: RoiDetector = HipDetector(**config.detector, film_timeout=config.limits["film_seconds"])
        self._maker = ObjectMaker(self._detector)
        self._folders = [config.folder / name for name in ("arriving", "waiting", "done", "failed")]
        self._arriving, self._waiting, self._done, self._failed = self._folders

    def run(self) -> None:
        """Serve until the process ends; DatasetError if another node has the folder, ConfigError if the port isn't free."""
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
        busy = f"{self.config.folder}: another node uses it: choose another one"
        with locked(self.config.folder / ".lock", busy), own_limits():  # no library logs tags
            self._serve()
            try:
                while True:
                    self._report()
                    start = time.monotonic()
                    if not any(self._step(path) for path in self._films()):
                        time.sleep(0.2 + 5 * (time.monotonic() - start))  # there may be thousands that can't be sent
            finally:
                self._entity.shutdown()

    def _serve(self) -> None:
        """Start to listen."""
        from pynetdicom import AE, _config, build_context, dimse_messages, evt

        threading.excepthook = lambda fault: self._say("error", fault.exc_type.__name__)
        limits, seconds, tls = self.config.limits, self.config.limits["seconds"], self.config.tls
        _config.STORE_RECV_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL = True, "none"
        messages: Any = dimse_messages
        messages.NamedTemporaryFile = lambda **_: _Spool(self._arriving, limits)
        self._entity = entity = AE(self.config.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = seconds
        entity.require_called_aet, entity.require_calling_aet = True, list(self.config.peers)
        entity.maximum_associations, entity.maximum_pdu_size = limits["associations"], 1 << 16
        films = [build_context(each, SYNTAXES) for each in FILM_CLASSES]
        entity.supported_contexts = [build_context("1.2.840.10008.1.1"), *films]  # C-ECHO
        entity.requested_contexts = [build_context(each, SYNTAXES[:2]) for each in OBJECT_CLASSES]
        self._bounds: Any = [(evt.EVT_CONN_OPEN, _bound, [seconds]), (evt.EVT_DATA_RECV, _require_little)]
        rejected = evt.EVT_REJECTED, lambda _: self._say("refused", "an association")
        handlers: Any = [*self._bounds, rejected, (evt.EVT_C_STORE, self._receive)]
        # without the handshake, which would keep all others waiting: it comes with the first bytes
        later: Any = tls and SimpleNamespace(wrap_socket=partial(tls.wrap_socket, do_handshake_on_connect=False))
        place = self.config.place
        try:
            server: Any = entity.start_server(place, block=False, ssl_context=later, evt_handlers=handlers)
        except OSError as error:
            raise ConfigError(f"{place[0]}, port {place[1]}: {error.strerror}, expected a free one") from error
        server.verify_request = lambda *_: len(server.active_associations) < 2 * limits["associations"]
        self._say("listening on", f"{place[0]}, port {place[1]}")

    def _receive(self, event: Any) -> Any:
        """Answer C-STORE."""
        from pydicom import Dataset

        answer = Dataset()
        answer.Status, reason = self._take(event.request, event.assoc.requestor.ae_title.strip())
        if reason:
            answer.ErrorComment = reason[:64]
            self._say("refused", f"an object: {reason}")
        return answer

    def _take(self, request: Any, calling: str) -> tuple[int, str]:
        """Keep a film; DICOM status, which is 0 once it is on the disk, and why it is refused, without patient data."""
        spool: _Spool = request._dataset_file
        if spool.fault:
            return ROOM, spool.fault
        try:
            with self._lock:  # one at a time, as headers can be large
                source = read_source(Path(spool.name), "film")
        except RadiographError as error:  # no report could be made of it
            return UNCLEAR, error.reason
        if source is None or not source.SOPClassUID == request.AffectedSOPClassUID in FILM_CLASSES:
            return OTHER_CLASS, "not of the class that was agreed on"
        # another film of a UID is another file
        path = self._waiting / f"{_key(calling)}-{spool.digest.hexdigest()[:32]}.dcm"
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
        """The films that wait, in the order in which they came; last those that were refused."""
        times = {path: path.stat().st_mtime_ns for path in self._waiting.glob("*.dcm")}
        return sorted(times, key=lambda path: (self._pauses.get(path.stem.rstrip("+"), 0.0), times[path]))

    def _step(self, path: Path) -> bool:
        """Answer a film, if that can be tried now; whether it was."""
        name, sender, start = path.stem.rstrip("+"), path.name[:8], time.monotonic()
        if sender not in self._peers or start < max(self._pauses.get(each, 0.0) for each in (name, sender)):
            return False
        tried, at_fault = path.replace(path.with_name(f"{path.stem}+.dcm")), name
        try:
            objects = self._objects(tried, name, path.stem.count("+"))
            at_fault = sender
            self._send(self._peers[sender], objects)
            tried.replace(self._done / f"{name}.dcm")
            self._say("answered", name)
        except RadiographError as error:  # no report can be made of it
            tried.replace(self._failed / f"{name}.dcm")
            self._say("failed", f"{name}: {error.reason}")
        except Exception as error:  # of any library: the node lives
            self._say("error", type(error).__name__)  # its text may have patient data
            if isinstance(error, OSError) or at_fault == sender:
                tried.replace(path)
            at_fault = name if isinstance(error, _Refused) else at_fault
            # longer after a peer that was silent, which keeps all others waiting
            pause = self.config.limits["retry_seconds"] + 5 * (time.monotonic() - start)
            self._pauses[at_fault] = time.monotonic() + pause
        return True

    def _objects(self, path: Path, name: str, tries: int) -> list[bytes]:
        """The report of a film, and its presentation state."""
        source, (kept, why) = read_source(path, name), self.config.films.check(FilmSource(name, path))
        if source is None:
            raise RadiographError("damaged since it was received", name)
        if tries >= MOST_TRIES:
            film = FilmRois(name, path, error=f"the program ended {MOST_TRIES} times while it read the film")
        elif not kept:
            film = FilmRois(name, path, error=f"{why}, expected {self.config.films}")
        else:
            film = next(iter(self._detector([path])))
            if said := [FLAGS[flag] for flag in film.flags if flag in WITHHELD]:
                film = replace(film, rois=(), candidates=(), error=f"ROIs were found, and withheld: {'; '.join(said)}")
        drawn = self.config.presentation_states and film.error is None
        return [self._maker.make(kind, source, film) for kind in (("sr", "pr") if drawn else ("sr",))]

    def _send(self, peer: Mapping[str, Any], objects: Sequence[bytes]) -> None:
        """Store objects at `peer`; _Refused if it doesn't take these, other errors if it takes none."""
        from pydicom import dcmread

        assoc = self._entity.associate(**peer, evt_handlers=self._bounds)
        if not assoc.is_established:
            raise ConnectionError
        try:
            for each in objects:
                try:
                    status = assoc.send_c_store(dcmread(io.BytesIO(each))).get("Status", ROOM)
                except ValueError as error:  # it takes none of this class
                    raise _Refused from error
                if status >> 8 == ROOM >> 8:
                    raise ConnectionError
                if status not in (0, DUPLICATE) and status >> 12 != 0xB:  # a warning
                    raise _Refused
        finally:
            if assoc.is_established:
                assoc.release()

    def _say(self, what: str, which: str) -> None:
        """Log and count."""
        with self._lock, suppress(OSError):
            self._counts[what] += 1
            print(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {what} {which}", flush=True)

    def _report(self) -> None:
        """When it is time: remove old files, and say how the node is."""
        if time.monotonic() < self._next_report:
            return
        limits, now = self.config.limits, time.time()
        self._next_report = time.monotonic() + limits["health_seconds"]
        kept = 86400 * self.config.keep_days
        # in arriving are rests of broken associations, and of a node that was killed
        for folder, seconds in ((self._arriving, 60 + 2 * limits["seconds"]), (self._done, kept), (self._failed, kept)):
            for path in folder.iterdir():
                with suppress(FileNotFoundError):  # it has arrived
                    if path.stat().st_mtime < now - seconds:
                        path.unlink()
        health = {key: self._counts[key] for key in ("received", "answered", "failed", "refused", "error")}
        free = shutil.disk_usage(self.config.folder).free
        self._say("health", json.dumps({**health, "waiting": len(self._films()), "free_bytes": free}))
