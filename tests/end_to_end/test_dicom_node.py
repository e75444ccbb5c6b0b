"""A DICOM node and Orthanc: film to Orthanc, to the node, report back; killed in the middle of 200 films."""

import io
import os
import time

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("pynetdicom")
pytest.importorskip("highdicom")
pytest.importorskip("onnx")
if not os.access("/usr/sbin/Orthanc", os.X_OK):
    pytest.skip("Orthanc missing: apt-get install orthanc", allow_module_level=True)

from dicom_objects import dicom_film, require_valid
from highdicom.sr import srread
from pynetdicom import AE

from dicom_network import DRAWN, REPORT, Node, Orthanc, film_of_report, free_port, sender, until
from hipdet.phantoms.write import make_film

pytestmark = pytest.mark.slow
QUERY = "1.2.840.10008.5.1.4.1.2.2.1"  # study root


@pytest.fixture
def network(tmp_path):
    """Starts a node and an Orthanc that send to each other."""
    running = []

    def start(**changes):
        archive = free_port()
        running.append(Node(tmp_path, archive, **changes))
        running.append(Orthanc(tmp_path, archive, running[0].port))
        return running[0].start(), running[1]

    yield start
    for each in running:
        each.stop()


def query(archive, level, **keys):
    """The answers of Orthanc to a C-FIND."""
    ae = AE("SENDER")
    ae.add_requested_context(QUERY)
    assoc = ae.associate("127.0.0.1", archive.port, ae_title="ORTHANC")
    asked = pydicom.Dataset()
    asked.QueryRetrieveLevel = level
    for key, value in keys.items():
        setattr(asked, key, value)
    found = [each for status, each in assoc.send_c_find(asked, QUERY) if status.Status in (0xFF00, 0xFF01)]
    assoc.release()
    return found


def test_film_to_orthanc_to_the_node_and_report_back(network, tmp_path):
    node, archive = network()  # with the bundled model
    pixels = make_film("cgoa", 0, seed=3, max_side=400).pixels.astype(np.uint16) * 16
    film = archive.get("instances", dicom_film(pixels, BodyPartExamined="HIP", ViewPosition="AP"))["ID"]
    sent = archive.get("modalities/node/store", film.encode())
    assert (sent["FailedInstancesCount"], sent["InstancesCount"]) == (0, 1)
    until(lambda: len(archive.find(Modality="SR") + archive.find(Modality="PR")) == 2, 120, node.log.read_text)
    series = query(archive, "SERIES", StudyInstanceUID="1.2.3", Modality="", SeriesInstanceUID="", SeriesNumber="")
    assert sorted(each.Modality for each in series) == ["CR", "PR", "SR"]
    (report,) = query(archive, "IMAGE", StudyInstanceUID="1.2.3", SOPInstanceUID="", SOPClassUID=REPORT,
                      SeriesInstanceUID=next(each.SeriesInstanceUID for each in series if each.Modality == "SR"))  # fmt: skip
    for modality, kind in (("SR", "sr"), ("PR", "pr")):
        (found,) = archive.find(Modality=modality)
        (tmp_path / f"found.{kind}.dcm").write_bytes(archive.get(f"instances/{found}/file"))
    parsed = srread(tmp_path / "found.sr.dcm")
    assert parsed.SOPInstanceUID == report.SOPInstanceUID
    assert parsed.PatientID == "PID4711"
    assert [each[2] for each in parsed.get_evidence()] == ["1.2.3.4.5"]
    sides = [each.finding_sites[0].laterality.meaning for each in parsed.content.get_planar_roi_measurement_groups()]
    assert sorted(sides) == ["Left", "Right"]
    # what comes back isn't taken, so nothing goes round in circles
    reports = archive.find(Modality="SR")[0].encode()
    with pytest.raises(OSError, match="HTTP Error"):
        archive.get("modalities/node/store", reports)
    assert node.names("waiting") == []
    archive.get("modalities/node/store", film.encode())
    node.settled()
    assert len(archive.find(Modality="SR") + archive.find(Modality="PR")) == 2
    require_valid(tmp_path / "found.sr.dcm")
    require_valid(tmp_path / "found.pr.dcm")
    assert not [word for word in ("DOE", "4711", "1.2.3.4") if word in node.log.read_text()]


@pytest.mark.ci
@pytest.mark.timeout(3600)
def test_killed_three_times_in_the_middle_of_200_films(network):
    node, archive = network(model="model.onnx", seconds=15)
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    films = [dicom_film(pixels, SOPInstanceUID=f"1.2.3.4.{number}") for number in range(1, 201)]
    kills = iter([(40, "received"), (110, "received"), (120, "answered")])
    after, what = next(kills)
    sent, start = 0, time.monotonic()
    while sent < len(films) or after:
        assoc = sender(node) if sent < len(films) else None
        while assoc is not None and assoc.is_established and sent < len(films):
            # a sender sends again what wasn't acknowledged
            status = assoc.send_c_store(pydicom.dcmread(io.BytesIO(films[sent]))).get("Status")
            sent += status == 0
            if after and len(count(node, what)) >= after:
                break
        if after and len(count(node, what)) >= after:
            node.kill()
            after, what = next(kills, (0, ""))
            node.start()
        elif assoc is not None and assoc.is_established:
            assoc.release()
        time.sleep(0.02)
    node.settled(1200)
    print(f"200 films, killed 3 times: {time.monotonic() - start:.0f} s, {node.peak():.0f} MB")
    assert len(node.names("done")) == 200
    until(lambda: not node.names("waiting"), 120, "a rest of a killed node")
    for modality, kind in (("SR", REPORT), ("PR", DRAWN)):
        files = [archive.get(f"instances/{each}/file") for each in archive.find(Modality=modality)]
        found = [pydicom.dcmread(io.BytesIO(each)) for each in files]
        assert len(found) == 200
        assert {each.SOPClassUID for each in found} == {kind}
        about = [film_of_report(each) if kind == REPORT else drawn_on(each) for each in found]
        assert sorted(about) == sorted(f"1.2.3.4.{number}" for number in range(1, 201))


def drawn_on(state):
    """The UID of the film that a presentation state is about."""
    return state.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID


def count(node, what):
    return [line for line in node.log.read_text().split("\n") if f" {what} " in line and "{" not in line]
