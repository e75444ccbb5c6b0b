"""A DICOM node in a process of its own, and peers of pynetdicom: films, retries, restarts, and hostile input."""

import contextlib
import io
import json
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from hashlib import sha256

import numpy as np
import pytest

pynetdicom = pytest.importorskip("pynetdicom")
pytest.importorskip("highdicom")
pytest.importorskip("onnx")

from dicom_objects import CR, dicom_film
from fixed_model import write_model
from pynetdicom.dsutils import encode

from dicom_network import REPORT, Archive, Node, film_of_report, send, sender, until, words
from hipdet.core.errors import ConfigError
from hipdet.inference.review import ReviewLimits
from hipdet.workflows.dicom_node import NodeConfig
from tool_runs import run_tool_here

pytestmark = pytest.mark.slow
FILM = dicom_film()
SENT, ROOM, CLASS, UNCLEAR = 0, 0xA700, 0xA900, 0xC000
GOOD = dict(ae_title="HIPDET", port=11112, folder="node", films=dict(Modality=["CR"]), keep_days=7,
            peers=dict(PACS=dict(ae_title="PACS", host="pacs.example", port=104)))  # fmt: skip


def film_of(number, **tags):
    return dicom_film(SOPInstanceUID=f"1.2.3.4.{number}", **tags)


def peers(port, **entries):
    return dict(SENDER=dict(ae_title="ORTHANC", host="127.0.0.1", port=port, **entries))


@pytest.fixture
def archive():
    running = Archive()
    yield running
    running.stop()


@pytest.fixture
def node(tmp_path):
    """Starts a node with a model that finds two hips on every film, at once."""
    running = []

    def start(port, before=(), **changes):
        running.append(Node(tmp_path, port, **{"model": "model.onnx", **changes}))
        return running[-1].start(before)

    yield start
    for each in running:
        assert each.stop() in (0, -9)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A node with low limits that has answered a film, its archive, and its largest memory until then."""
    root, archive = tmp_path_factory.mktemp("attacked"), Archive()
    limits = dict(associations=5, object_bytes=100_000_000, seconds=3, object_seconds=8)
    running = Node(root, archive.port, model="model.onnx", limits=limits).start()
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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(port=None), "no port, expected a whole number from 1 to 65535"),
        (dict(port="104"), "port is '104', expected a whole number"),
        (dict(port=0), "port is 0"),
        (dict(ae_title="seventeen letters"), "AE title 'seventeen letters', expected 1 to 16"),
        (dict(ae_title="a\\b"), "AE title 'a\\\\b'"),
        (dict(peer={}), "peer is {}, expected only ae_title"),
        (dict(peers={}), "peers is {}, expected a destination"),
        (dict(peers={"": {}}), "peers: AE title ''"),
        (dict(peers=dict(PACS=dict(ae_title="PACS", host="a"))), "peers: PACS: no port"),
        (dict(peers=dict(PACS=[])), "PACS is [], expected an object"),
        (dict(films=dict(Modality="CR")), "Modality is 'CR', expected a list"),
        (dict(films=dict(Modality=["ä"])), "Modality 'Ä': expected at most 16 letters"),
        (dict(films=dict(PatientID=["1"])), "PatientID is ['1'], expected only Modality"),
        (dict(limits=dict(queue=0)), "limits: queue is 0, expected a whole number from 1"),
        (dict(limits=dict(speed=1)), "limits: speed is 1, expected only associations"),
        (dict(keep_days=-1), "keep_days is -1"),
        (dict(bind=1), "bind is 1, expected a text"),
        (dict(presentation_states="no"), "presentation_states is 'no', expected true or false"),
        (dict(tls={}), "tls: no certificate, expected a text"),
        (dict(tls=dict(certificate="none.pem", key="none.pem")), "tls: No such file or directory, expected PEM"),
        (dict(tls=dict(certificate="node.json", key="node.json")), "expected PEM files without password"),
    ],
)
def test_configurations_that_are_refused(tmp_path, changes, said):
    values = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    (tmp_path / "node.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=re.escape(said)) as raised:
        NodeConfig(tmp_path / "node.json")
    if "'Ä'" not in said:
        assert str(tmp_path / "node.json") in str(raised.value)
        assert "dicom_node.md" in str(raised.value) or "PEM" in said + str(raised.value) or "AE title" in said


def test_a_configuration(tmp_path):
    (tmp_path / "node.json").write_text(json.dumps(GOOD))
    config = NodeConfig(tmp_path / "node.json")
    assert (config.place, config.folder, config.tls) == (("127.0.0.1", 11112), tmp_path / "node", None)
    assert config.peers == dict(PACS=("pacs.example", 104, "PACS", None))
    done = run_tool_here("dicom-node", "node.json", "--check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "node.json: ready\n")
    assert not (tmp_path / "node").exists()
    (tmp_path / "node.json").write_text(json.dumps(dict(GOOD, rois=dict(knee=2))))
    assert "expected one for each of" in run_tool_here("dicom-node", "node.json", cwd=tmp_path).stderr


def test_films_to_reports_without_patient_data_in_logs(node, archive):
    running = node(archive.port, films=dict(Modality=["CR"], BodyPartExamined=["PELVIS", "HIP"], ViewPosition=["AP"]))
    films = {
        "2 ROIs": film_of(1, BodyPartExamined="PELVIS"),
        "BodyPartExamined is CHEST, expected BodyPartExamined HIP PELVIS": film_of(2, BodyPartExamined="CHEST"),
        "ViewPosition is LL": film_of(3, ViewPosition="LL"),
        "Modality is something else": film_of(4, Modality="X1"),
        "cut short (100 bytes of pixel data": film_of(5, PixelData=bytes(100)),
        "colour (RGB)": film_of(6, PhotometricInterpretation="RGB"),
    }
    assert [send(running, film) for film in films.values()] == [SENT] * 6
    running.settled()
    reports = {film_of_report(each): each for each in archive.objects.values() if each.SOPClassUID == REPORT}
    assert len(reports) == 6
    assert len(archive.objects) == 7  # boxes are drawn on the first film alone
    for number, reason in enumerate(films, 1):
        report = reports[f"1.2.3.4.{number}"]
        assert report.PatientID == "PID4711"
        assert str(report).count("Finding Site") == (2 if number == 1 else 0)
        assert any(each.startswith(f"Not predicted: {reason}") for each in words(report)) == (number > 1), words(report)
        assert report.CompletionFlag == ("COMPLETE" if number == 1 else "PARTIAL")
    until(lambda: running.health()["answered"] == 6)
    assert {key: running.health()[key] for key in ("received", "waiting", "failed", "refused")} == dict(
        received=6, waiting=0, failed=0, refused=0
    )
    logged = running.log.read_text() + (running.folder / "health.json").read_text() + str(running.names("done"))
    assert not [word for word in ("DOE", "4711", "1957", "1.2.3", "SENDER") if word in logged]
    assert send(running, films["2 ROIs"]) == SENT  # again: the same UIDs
    running.settled()
    assert len(archive.objects) == 7
    assert set(archive.times.values()) - {1}  # at least those of this film came twice


def test_rois_of_odd_films_are_withheld(node, archive, tmp_path):
    limits = ReviewLimits(1, 0.0, 0.1, dict(y=(0.9, 1.0))).to_json()
    write_model(tmp_path / "odd.onnx", "2", ("hip",), [0, 0], [0.9, 0.8], limits=limits)
    running = node(archive.port, model="odd.onnx")
    assert send(running, FILM) == SENT
    running.settled()
    (report,) = archive.objects.values()
    said = words(report)
    assert any(each.startswith("Not predicted: ROIs were found, and withheld: position") for each in said), said
    assert "Image Region" not in str(report)


def test_an_archive_that_is_away_or_refuses(node):
    first = Archive()
    port = first.port
    first.stop()
    running = node(port)
    assert send(running, FILM) == SENT
    until(lambda: "error ConnectionError" in running.log.read_text())
    assert len(running.names("waiting")) == 3  # film, report, presentation state
    archive = Archive(port)
    archive.statuses[:] = [UNCLEAR, ROOM, 0xB000]  # the last one first: a warning; no room; refused; taken
    running.settled()
    archive.stop()
    assert sum(archive.times.values()) == 2
    assert running.names("done")
    assert "_Refused" in running.log.read_text()


def test_killed_and_started_again(node, archive):
    running = node(1)  # nobody is there
    assert send(running, FILM) == SENT
    running.kill()
    config = json.loads((running.root / "node.json").read_text())
    config["peers"] = peers(archive.port)
    (running.root / "node.json").write_text(json.dumps(config))
    running.start()
    running.settled()
    assert len(archive.objects) == 2
    second = run_tool_here("dicom-node", running.root / "node.json", cwd=running.root)
    assert (second.returncode, "another node uses it" in second.stderr) == (2, True)


def test_a_film_at_which_the_program_ends_is_reported(node, archive):
    running = node(archive.port)
    running.stop()
    key = sha256(b"SENDER").hexdigest()[:8]
    (running.folder / f"waiting/{key}-{'0' * 32}.dcm").write_bytes(FILM)
    (running.folder / f"waiting/{key}-{'0' * 32}.tries").write_bytes(b".....")
    running.start()
    running.settled()
    assert "Not predicted: the program ended 5 times while it read the film" in words(*archive.objects.values())


def test_old_films_are_deleted(node, archive):
    running = node(archive.port, keep_days=0.00003)  # 2.6 s
    assert send(running, FILM) == SENT
    until(lambda: archive.times)
    until(lambda: not running.names("done") and not running.names("waiting"), 20, "not deleted")
    assert shutil.disk_usage(running.folder).free


def certificate(root, name):
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.pem"]  # fmt: skip
    if not shutil.which("openssl"):
        pytest.skip("openssl missing")
    subprocess.run(made, cwd=root, check=True, capture_output=True)


def test_tls(node, tmp_path):
    for name in ("node", "archive", "sender", "stranger"):
        certificate(tmp_path, name)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "node.pem")
    server.load_cert_chain(tmp_path / "archive.pem", tmp_path / "archive.key")
    server.verify_mode = ssl.CERT_REQUIRED
    archive = Archive(tls=server)
    own = dict(certificate="node.pem", key="node.key")
    running = node(
        archive.port, tls=dict(own, ca="sender.pem"), limits=dict(seconds=3),
        peers=peers(archive.port, tls=dict(own, ca="archive.pem")),
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", running.port)):  # says nothing: others aren't kept waiting
        for name, status in (("stranger", None), ("sender", SENT)):
            client = ssl.create_default_context(cafile=tmp_path / "node.pem")
            client.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
            assert send(running, FILM, tls_args=(client, "127.0.0.1")) == status, name
    assert send(running, FILM) is None  # without TLS
    running.settled()
    assert len(archive.objects) == 2
    archive.stop()


@pytest.mark.ci
def test_a_destination_with_another_certificate(node, tmp_path):
    for name in ("archive", "other"):
        certificate(tmp_path, name)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "other.pem", tmp_path / "other.key")
    archive = Archive(tls=server)
    running = node(archive.port, peers=peers(archive.port, tls=dict(ca="archive.pem")))
    assert send(running, FILM) == SENT
    until(lambda: "error ConnectionError" in running.log.read_text())
    archive.stop()
    assert not archive.times


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
        assert answer(assoc, raw_store() + pdu(body[: 1 << 16], 0) + pdu(body[1 << 16 :], 2)).Status == CLASS
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
def test_no_room_is_left_and_too_many_films(node):
    running = node(1, limits=dict(queue=2))
    assert [send(running, film_of(number)) for number in range(3)] == [SENT, SENT, ROOM]
    assert "refused an object: too many films wait" in running.log.read_text()
    running.stop()
    config = json.loads((running.root / "node.json").read_text())
    config["limits"].update(free_bytes=1 << 50, queue=100)
    (running.root / "node.json").write_text(json.dumps(config))
    running.start()
    assert send(running, FILM) == ROOM
