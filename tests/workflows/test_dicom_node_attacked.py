"""A DICOM node in a process of its own, and peers that are hostile, slow or broken, or that send too much."""

import contextlib
import io
import socket
import struct
import subprocess
import threading
import time

import numpy as np
import pytest

pynetdicom = pytest.importorskip("pynetdicom")
pytest.importorskip("highdicom")
pytest.importorskip("onnx")

from dicom_objects import CR, dicom_film
from pynetdicom.dsutils import encode

from dicom_network import OTHER_CLASS, REPORT, ROOM, SENT, UNCLEAR, Archive, Node, send, sender, until

pytestmark = pytest.mark.slow
FILM = dicom_film()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A node with low limits that has answered a film, its archive, and its largest memory until then."""
    root, archive = tmp_path_factory.mktemp("attacked"), Archive()
    limits = dict(associations=5, object_bytes=100_000_000, seconds=3, object_seconds=8)
    running = Node(root, archive.port, model="model.onnx", **limits).start()
    assert send(running, FILM) == SENT
    running.settled()
    yield running, archive, running.peak()
    assert running.stop() == 0
    archive.stop()


@pytest.fixture
def target(attacked):
    """The attacked node, which must live, hold nothing of the attack, and answer a film after it."""
    running, archive, before = attacked
    yield running
    assert running.process.poll() is None, running.log.read_text()
    assert running.peak() < before + 150
    before = sum(archive.times.values())
    until(lambda: send(running, FILM) == SENT, 30, "no answer")
    running.settled()
    until(lambda: sum(archive.times.values()) > before)
    until(lambda: not running.names("arriving"), 90, "a rest of an object")


def test_unknown_titles_and_other_classes(target):
    assert not sender(target, title="STRANGER").is_established
    assert not sender(target, called="OTHER").is_established
    for classes in ([REPORT], ["1.2.840.10008.5.1.4.1.1.11.1"], ["1.2.840.10008.5.1.4.1.1.2"]):
        assert not sender(target, classes=classes).is_established
    echo = sender(target, classes=["1.2.840.10008.1.1"])
    assert echo.send_c_echo().Status == 0
    echo.release()
    assert (
        send(target, dicom_film(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), classes=["1.2.840.10008.5.1.4.1.1.7"]) == SENT
    )


def raw_store(sop_class=CR):
    """The PDU of a C-STORE request, whatever was agreed on."""
    command = pynetdicom.dimse_primitives.C_STORE()
    command.MessageID, command.Priority = 1, 2
    command.AffectedSOPClassUID, command.AffectedSOPInstanceUID = sop_class, "1.2.3.4.5"
    message = pynetdicom.dimse_messages.C_STORE_RQ()
    command.DataSet = io.BytesIO(b"x")
    message.primitive_to_message(command)
    return pdu(encode(message.command_set, True, True), 3)


def pdu(data, control, context=1):
    item = struct.pack(">LBB", len(data) + 2, context, control) + data
    return struct.pack(">BBL", 4, 0, len(item)) + item


def answer(assoc, data):
    """What the node answers to PDUs."""
    assoc._reactor_checkpoint.clear()  # or its thread takes the answer
    until(lambda: assoc._is_paused)
    assoc.dul.socket.socket.sendall(data)
    answered = assoc.dimse.get_msg(block=True)[1]
    assoc.abort()
    return answered


def closed(connection, seconds=20):
    """Whether the node closes the connection."""
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_the_class_in_the_request_and_in_the_object_differ(target):
    for film in (
        dicom_film(SOPClassUID="1.2.840.10008.5.1.4.1.1.2"),
        dicom_film(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
    ):
        assoc = sender(target)
        body = film[film.index(b"\x08\0\x16\0UI") :]  # from the class on, without the file's head
        assert answer(assoc, raw_store() + pdu(body[: 1 << 16], 0) + pdu(body[1 << 16 :], 2)).Status == OTHER_CLASS
    assoc = sender(target)
    assert answer(assoc, raw_store(REPORT) + pdu(b"\x08\0\x16\0", 2)).Status == UNCLEAR


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "StudyDate", "SOPInstanceUID"])
def test_films_of_which_no_report_can_be_made(target, missing):
    before = target.names("done")
    raw = dicom_film(**{missing: "" if missing == "StudyDate" else "../../x"})
    assoc = sender(target)
    body = raw[raw.index(b"\x08\0\x16\0UI") :]
    answered = answer(assoc, raw_store() + pdu(body[: 1 << 16], 0) + pdu(body[1 << 16 :], 2))
    assert answered.Status == UNCLEAR
    assert answered.ErrorComment.startswith("no DICOM objects: ")
    assert target.names("done") == before


def test_fifty_associations_at_once(target):
    made, lock = [], threading.Lock()

    def associate():
        one = sender(target)
        with lock:
            made.append(one)

    threads = [threading.Thread(target=associate) for _ in range(50)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(made) == 50
    assert sum(each.is_established for each in made) <= 5
    for each in made:
        if each.is_established:
            each.abort()
    one = until(lambda: (tried := sender(target)).is_established and tried, 20, "no association")
    one.release()


def test_an_object_of_200_mb(target):
    pixels = np.zeros((10_000, 10_000), np.uint16)
    before = target.peak()
    assert send(target, dicom_film(pixels)) == ROOM
    assert target.peak() < before + 20
    assert "refused an object: too large" in target.log.read_text()


@pytest.mark.ci
def test_senders_that_are_slow_or_send_too_much(target):
    place = ("127.0.0.1", target.port)
    silent, endless = socket.create_connection(place), socket.create_connection(place)
    endless.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(1 << 16))  # an association request of 4 GB
    begun = sender(target).dul.socket.socket
    begun.sendall(raw_store() + pdu(bytes(1000), 0)[:500])  # half of a PDU
    for each in (silent, endless, begun):
        assert closed(each)


def refused_after(connection, size, pause):
    """After how many seconds the node ends the association, while it gets pieces of data; at most 60."""
    start = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() < start + 60:
            connection.sendall(pdu(bytes(size), 0))
            time.sleep(pause)
    return time.monotonic() - start


@pytest.mark.ci
def test_data_without_end(target):
    dripping = sender(target).dul.socket.socket
    dripping.sendall(raw_store())
    assert refused_after(dripping, 100, 0.5) < 30  # object_seconds is 8
    echo = sender(target, classes=["1.2.840.10008.1.1"]).dul.socket.socket
    command = pynetdicom.dimse_messages.C_ECHO_RQ()
    command.command_set.AffectedSOPClassUID, command.command_set.CommandField = "1.2.840.10008.1.1", 0x30
    command.command_set.MessageID, command.command_set.CommandDataSetType = 1, 1  # an echo with data
    del command.command_set.CommandGroupLength
    echo.sendall(pdu(encode(command.command_set, True, True), 3))
    before = target.peak()
    assert refused_after(echo, 60_000, 0.02) < 60
    assert target.peak() < before + 20


def test_disk_full(node, archive, tmp_path):
    (tmp_path / "node").mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path / "node")]
    tmpfs = subprocess.run(mounted, capture_output=True).returncode == 0
    # without such rights, no file may be larger than half a film
    running = node(archive.port, before=() if tmpfs else ("prlimit", "--fsize=120000"))
    try:
        if tmpfs:
            (tmp_path / "node/filler").write_bytes(bytes(1_900_000))
        assert send(running, FILM) == ROOM
        assert "refused an object: disk full" in running.log.read_text()
        if tmpfs:
            (tmp_path / "node/filler").unlink()
        assert send(running, FILM if tmpfs else dicom_film(np.zeros((100, 100), np.uint16))) == SENT
        running.settled()
        assert len(archive.objects) == 2
    finally:
        running.stop()
        if tmpfs:
            subprocess.run(["umount", str(tmp_path / "node")], check=True)


@pytest.mark.ci
def test_no_room_is_left(node):
    running = node(1, free_bytes=1 << 50)
    assert send(running, FILM) == ROOM
    assert "refused an object: disk full" in running.log.read_text()


@pytest.mark.ci
def test_headers_of_90_mb_one_at_a_time(node, archive):
    """PS3.5 allows 10,240 letters: what is longer is no patient's comment."""
    running = node(archive.port)
    assert send(running, FILM) == SENT
    running.settled()
    film, before, said = dicom_film(PatientComments="x" * 90_000_000), running.peak(), []
    threads = [threading.Thread(target=lambda: said.append(send(running, film))) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(200)
    assert said == [SENT] * 3
    running.settled()
    print(f"headers of 90 MB: {running.peak() - before:.0f} MB more")
    assert running.peak() < before + 500
