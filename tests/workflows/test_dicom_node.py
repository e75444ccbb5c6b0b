"""A DICOM node in a process of its own, and peers of pynetdicom: films, retries, restarts, and hostile input."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from hashlib import sha256

import pytest

pytest.importorskip("pynetdicom")
pytest.importorskip("highdicom")
pytest.importorskip("onnx")

from dicom_objects import dicom_film
from fixed_model import write_model

from dicom_network import REPORT, ROOM, SENT, UNCLEAR, Archive, film_of_report, send, until, words
from hipdet.core.errors import ConfigError
from hipdet.inference.review import ReviewLimits
from hipdet.workflows.dicom_node import NodeConfig
from tool_runs import run_tool_here

pytestmark = pytest.mark.slow
FILM = dicom_film()
GOOD = dict(ae_title="HIPDET", port=11112, folder="node", films=dict(Modality=["CR"]), keep_days=7,
            peers=dict(PACS=dict(ae_title="PACS", host="pacs.example", port=104)))  # fmt: skip


def film_of(number, **tags):
    return dicom_film(SOPInstanceUID=f"1.2.3.4.{number}", **tags)


def peers(port, **entries):
    return dict(SENDER=dict(ae_title="ORTHANC", host="127.0.0.1", port=port, **entries))


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
        (dict(associations=0), "associations is 0, expected a whole number from 1 to 100"),
        (dict(speed=1), "speed is 1, expected only ae_title"),
        (dict(peers=dict(PACS=dict(GOOD["peers"]["PACS"], tsl={}))), "PACS: tsl is {}, expected only ae_title, host"),
        (dict(keep_days=-1), "keep_days is -1"),
        (dict(bind=1), "bind is 1, expected a text"),
        (dict(presentation_states="no"), "presentation_states is 'no', expected true or false"),
        (dict(tls={}), "tls: no certificate, expected a text"),
        (dict(tls=dict(certificate="none.pem", key="none.pem")), "tls: no ca, expected a text"),
        (
            dict(tls=dict.fromkeys(("certificate", "key", "ca"), "none.pem")),
            "tls: No such file or directory, expected PEM",
        ),
        (dict(tls=dict.fromkeys(("certificate", "key", "ca"), "node.json")), "expected PEM files without password"),
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
    assert config.peers == dict(PACS=dict(addr="pacs.example", port=104, ae_title="PACS", tls_args=None))
    assert config.limits["associations"] == 10
    (tmp_path / "node.json").write_text(json.dumps(dict(GOOD, rois=dict(knee=2))))
    assert "expected one for each of" in run_tool_here("dicom-node", "node.json", cwd=tmp_path).stderr
    assert not (tmp_path / "node").exists()


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
    logged = running.log.read_text() + str(running.names("done"))
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
    assert len(running.names("waiting")) == 1
    archive = Archive(port)
    # the last one first: a warning; no room; refused; taken; it has it already (PS3.7 C.5.7)
    archive.statuses[:] = [0x0111, 0, UNCLEAR, ROOM, 0xB000]
    running.settled()
    archive.stop()
    assert sum(archive.times.values()) == 1
    assert running.names("done")
    assert "_Refused" in running.log.read_text()
    until(lambda: running.health()["error"] >= 3)


def test_a_film_that_is_refused_keeps_no_other_waiting(node, archive):
    running = node(archive.port)
    archive.refused = "P1"
    films = [film_of(number, PatientID=f"P{number}") for number in range(1, 5)]
    assert [send(running, film) for film in films] == [SENT] * 4
    until(lambda: len(running.names("done")) == 3)
    assert len(running.names("waiting")) == 1
    archive.refused = None
    running.settled()
    assert len(archive.objects) == 8


def test_an_archive_that_takes_no_presentation_states_gets_all_reports(node):
    archive = Archive(classes=(REPORT,))
    running = node(archive.port)
    assert [send(running, film_of(number)) for number in (1, 2)] == [SENT] * 2
    until(lambda: len(archive.objects) == 2)
    archive.stop()
    assert len(running.names("waiting")) == 2
    assert "ValueError" not in running.log.read_text()


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


def test_another_film_of_the_same_uid_has_its_own_answer(node, archive):
    running = node(1)  # nobody is there
    other = dicom_film(PixelData=bytes(100))
    assert [send(running, film) for film in (FILM, other, FILM)] == [SENT] * 3
    config = json.loads((running.root / "node.json").read_text())
    running.stop()
    (running.root / "node.json").write_text(json.dumps(dict(config, peers=peers(archive.port))))
    running.start()
    running.settled()
    assert len(running.names("done")) == 2  # the same one is one film
    said = [words(each) for each in archive.objects.values() if each.SOPClassUID == REPORT]
    assert sorted(any("cut short" in word for word in each) for each in said) == [False, True]
    assert len(archive.objects) == 3


def test_what_a_crash_left_behind(node, archive):
    running = node(archive.port, seconds=1)
    running.stop()
    key = sha256(b"SENDER").hexdigest()[:8]
    damaged, rest = running.folder / f"waiting/{key}-2.dcm", running.folder / "arriving/x"
    for each in (damaged, rest):
        each.write_bytes(b"DOE^JANE")
        os.utime(each, (0, 0))
    running.start()
    until(lambda: not running.names("waiting") and not running.names("arriving"), 20, running.log.read_text)
    assert f"failed {damaged.stem}: damaged" in running.log.read_text()


def test_a_film_at_which_the_program_ends_is_reported(node, archive):
    running = node(archive.port)
    running.stop()
    key = sha256(b"SENDER").hexdigest()[:8]
    (running.folder / f"waiting/{key}-{'0' * 32}+++++.dcm").write_bytes(FILM)
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
        archive.port, tls=dict(own, ca="sender.pem"), seconds=3,
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
    for name in ("archive", "other", "node"):
        certificate(tmp_path, name)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "other.pem", tmp_path / "other.key")
    archive = Archive(tls=server)
    tls = dict(certificate="node.pem", key="node.key", ca="archive.pem")
    running = node(archive.port, peers=peers(archive.port, tls=tls))
    assert send(running, FILM) == SENT
    until(lambda: "error ConnectionError" in running.log.read_text())
    archive.stop()
    assert not archive.times
