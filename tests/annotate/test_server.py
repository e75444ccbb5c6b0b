"""The server: what the page gets, and which requests are refused."""

import errno
import io
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

import dicom_bytes
from annotation_parts import HIPS, PageClient, detector, film, films_in, open_session, state, until
from film_bytes import UPRIGHT, encoded
from hipdet.annotate.film_state import Project
from hipdet.annotate.labels import read_old_labels
from hipdet.core.errors import DatasetError
from hipdet.data.validate.check import Expected, validate
from hipdet.radiographs.read import read_header


@pytest.fixture
def session(tmp_path):
    made = open_session(films_in(tmp_path / "films"))
    yield made
    made.close()


@pytest.fixture
def page(session):
    return PageClient(session)


def test_the_page_gets_everything(page):
    page.post("2.png", state(HIPS))
    overview = page.get("/api/overview").get_json()
    statuses = [(each["name"], each["status"]) for each in overview["films"]]
    assert statuses == [("1.png", "new"), ("2.png", "done"), ("3.png", "new")]
    assert (overview["classes"], overview["rois"], overview["annotator"]) == (["hip"], 2, "annotator")
    assert overview["reasons"] == ["one hip", "artefact on the hip", "child", "not a pelvis", "other"]
    assert page.get("/api/film?name=2.png").get_json() == {
        **state(HIPS, revision=1),
        "status": "done",
        "size": [200, 120],
        "replaced": None,
        "proposal": None,
    }


def test_pictures_are_shrunk_to_the_window_and_whole_for_zoom(page):
    small = page.get("/api/picture?name=1.png&side=256")
    assert Image.open(io.BytesIO(small.data)).size == (200, 120)  # never enlarged
    page_of_large = page.get("/api/picture?name=1.png")
    assert (page_of_large.headers["X-Film-Width"], page_of_large.headers["X-Film-Height"]) == ("200", "120")


def test_every_kind_of_film_arrives_upright_in_eight_bits(tmp_path):
    deep = (UPRIGHT.astype(np.uint16) + 1000) * 10
    sideways = np.rot90(UPRIGHT)  # EXIF orientation 6 turns it clockwise: upright again
    (tmp_path / "exif.jpg").write_bytes(encoded(sideways, "JPEG", orientation=6, quality=95))
    (tmp_path / "deep.png").write_bytes(encoded(deep, "PNG"))
    (tmp_path / "film").write_bytes(dicom_bytes.film(deep))
    session = open_session(tmp_path)
    page = PageClient(session)
    for name in ("exif.jpg", "deep.png", "film"):
        answer = page.get("/api/picture", query_string={"name": name})
        assert answer.status_code == 200, answer.data
        picture = np.asarray(Image.open(io.BytesIO(answer.data)).convert("L"), dtype=int)
        assert picture.shape == (24, 40), name
        quarters = [picture[6, 10], picture[6, 30], picture[18, 10], picture[18, 30]]
        assert sorted(quarters) == quarters, name
    page.post("exif.jpg", state([[30, 10, 38, 18]]))  # on the upright film of 40x24, not on one of 24x40
    assert session.store.entry("exif.jpg").size == (40, 24)
    session.close()


def test_a_film_that_cannot_be_read_is_reported_and_can_be_excluded(tmp_path):
    films_in(tmp_path, 1)
    (tmp_path / "cut.png").write_bytes(film()[:900])
    session = open_session(tmp_path)
    page = PageClient(session)
    answer = page.get("/api/picture?name=cut.png")
    assert answer.status_code == 422
    assert "cut short" in answer.get_json()["error"] or "damaged" in answer.get_json()["error"]
    assert list(page.get("/api/news").get_json()["unreadable"]) == ["cut.png"]
    assert page.post("cut.png", state(HIPS)).status_code == 400
    assert page.post("cut.png", state(exclude="other: broken")).status_code == 200
    session.close()
    assert "cut.png,other: broken" in (tmp_path / "labels/annotator.exclude.csv").read_text()
    assert json.loads((tmp_path / "labels/annotator.json").read_text())["images"] == []  # it has no size


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "..\\secret.png", "labels/annotator.json", "", "1.png\0"]
)
def test_no_name_leads_out_of_the_folder(tmp_path, page, name):
    (tmp_path / "secret.png").write_bytes(film())
    for path in ("/api/picture", "/api/film"):
        answer = page.get(path, query_string={"name": name})
        assert answer.status_code == 400
        assert "is not a film of this folder" in answer.get_json()["error"]
    assert page.post(name, state(HIPS)).status_code == 400


@pytest.mark.parametrize(
    "path", ["/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page/none.js", "/etc/passwd"]
)
def test_no_path_leads_out_of_the_page(page, path):
    assert page.get(path).status_code == 404


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret.png").write_bytes(film())
    films_in(tmp_path / "films")
    (tmp_path / "films/link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DatasetError, match="is a link out of its folder"):
        open_session(tmp_path / "films")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"\xff 100%.png", "%FF 100%25.png"), (b"100%.png", "100%.png"), (b"\x1b[31m\n.png", "%1B[31m%0A.png")],
)
def test_odd_names_are_listed_escaped(tmp_path, name, shown):
    films_in(tmp_path)
    (tmp_path / os.fsdecode(name)).write_bytes(film())
    session = open_session(tmp_path, detect=detector())
    page = PageClient(session)
    names = {each["name"] for each in page.get("/api/overview").get_json()["films"]}
    assert names == {shown, "1.png", "2.png", "3.png"}
    assert page.get("/api/picture", query_string={"name": shown}).status_code == 200
    assert page.post(shown, state(HIPS)).status_code == 200
    until(lambda: not session.proposals.running)
    assert len(session.proposals.of(shown).boxes) == 2
    session.close()
    coco, faults = validate(tmp_path / "labels/annotator.json", tmp_path, Expected.of_classes(["hip"]))
    assert [image["file_name"] for image in coco["images"]] == [shown]
    assert faults == []
    assert read_old_labels(tmp_path / "labels/annotator.json", session.films, Project()).states.keys() == {shown}


def replace(films, *size, **remarks):
    """Label a film of 200x120 px, and replace its file by one of `size`; returns a new session."""
    films_in(films, 2)
    session = open_session(films)
    PageClient(session).post("1.png", state(**remarks))
    session.close()
    (films / "1.png").write_bytes(film(*size))
    return open_session(films)


def test_a_film_that_was_replaced_is_done_again_only_when_it_is_confirmed(tmp_path):
    session = replace(tmp_path, 240, 150, boxes=HIPS)
    page = PageClient(session)
    coco = tmp_path / "labels/annotator.json"
    assert page.get("/api/overview").get_json()["films"][0] == {
        "name": "1.png",
        "status": "unchecked",
        "unsure": False,
        "replaced": True,
    }
    shown = page.get("/api/film?name=1.png").get_json()
    assert (shown["boxes"], shown["replaced"], shown["size"]) == (state(HIPS)["boxes"], [200, 120], [240, 150])
    until(lambda: '"replaced"' in coco.read_text())
    image = json.loads(coco.read_text())["images"][0]
    assert (image["status"], image["replaced"], image["width"]) == ("unchecked", True, 200)  # that of its boxes
    answer = page.post("1.png", state(HIPS, revision=1, size=[240, 150]))
    assert (answer.get_json()["status"], answer.get_json()["replaced"]) == ("done", None)
    session.close()
    image = json.loads(coco.read_text())["images"][0]
    assert (image["status"], "replaced" in image, image["width"]) == ("done", False, 240)


def test_a_film_that_is_put_back_is_done_as_before(tmp_path):
    replace(tmp_path, 240, 150, boxes=HIPS).close()
    (tmp_path / "1.png").write_bytes(film())
    session = open_session(tmp_path)
    assert session.film("1.png")["status"] == "done"
    session.close()


def test_a_film_of_the_same_size_is_not_replaced(tmp_path):
    session = replace(tmp_path, 200, 120, boxes=HIPS)
    assert session.film("1.png")["status"] == "done"
    session.close()


def test_a_film_that_was_missing_for_a_while_is_readable_again(page, session):
    path = session.films.path("1.png")
    assert page.get("/api/picture?name=1.png").status_code == 200
    path.rename(path.with_name("away"))
    assert page.get("/api/picture?name=1.png").status_code == 422
    assert page.get("/api/film?name=1.png").get_json()["size"] == [200, 120]  # as it was last seen
    assert page.post("1.png", state(HIPS, size=[200, 120])).status_code == 200
    path.with_name("away").rename(path)
    assert page.get("/api/picture?name=1.png").status_code == 200
    assert page.get("/api/news").get_json()["unreadable"] == {}


def test_labelled_films_are_read_again_only_if_their_files_have_changed(tmp_path, monkeypatch):
    replace(tmp_path, 200, 120, boxes=HIPS).close()
    os.utime(tmp_path / "1.png", ns=(1, 1))  # as a copy of the folder would have
    read = []

    def header(*given):
        read.append(given)
        return read_header(*given)

    monkeypatch.setattr("hipdet.annotate.film_folder.read_header", header)
    for _ in range(3):
        session = open_session(tmp_path)
        assert session.film("1.png")["status"] == "done"
        session.close()
    assert len(read) == 1


@pytest.mark.parametrize(
    ("remarks", "status"),
    [
        ({"boxes": HIPS[:1], "exclude": "child"}, "excluded"),
        ({"none": True}, "unchecked"),
        ({"unsure": True}, "new"),  # nothing to confirm
    ],
)
def test_other_labels_of_a_film_that_was_replaced(tmp_path, remarks, status):
    session = replace(tmp_path, 240, 150, **remarks)
    shown = session.film("1.png")
    assert (shown["status"], bool(shown["replaced"])) == (status, status != "new")
    session.close()


def test_boxes_off_the_new_film_are_kept_until_they_are_corrected(tmp_path):
    session = replace(tmp_path, 100, 100, boxes=HIPS)
    page = PageClient(session)
    assert page.get("/api/film?name=1.png").get_json()["boxes"] == state(HIPS)["boxes"]
    answer = page.post("1.png", state(HIPS, revision=1))
    assert (answer.status_code, "its centre is not on the film of 100x100" in answer.get_json()["error"]) == (400, True)
    assert page.get("/api/film?name=1.png").get_json()["revision"] == 1
    session.close()


def test_a_film_that_is_replaced_while_it_is_open(session, page):
    """Boxes that were drawn on the earlier film aren't taken for those of the new one."""
    path = session.films.path("1.png")
    assert page.get("/api/film?name=1.png").get_json()["size"] == [200, 120]
    path.write_bytes(film(240, 150))
    assert page.post("1.png", state(HIPS, size=[200, 120])).status_code == 200  # no one has seen the new film
    assert page.get("/api/film?name=1.png").get_json()["replaced"] == [200, 120]
    answer = page.post("1.png", state(HIPS[:1], revision=1, size=[200, 120]))
    assert (answer.status_code, answer.get_json()["film"]["size"]) == (409, [240, 150])
    assert Image.open(io.BytesIO(page.get("/api/picture?name=1.png").data)).size == (240, 150)
    assert page.post("1.png", state(HIPS, revision=1, size=[240, 150])).get_json()["status"] == "done"


@pytest.mark.parametrize(
    "host", ["evil.example:8000", "127.0.0.1:9", "127.0.0.1", "127.0.0.1.evil.example:8000", "[::1]:8000"]
)
@pytest.mark.parametrize("path", ["/", "/api/overview", "/api/picture?name=1.png"])
def test_a_forged_host_is_refused(page, path, host):
    assert page.get(path, headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9", "null", "https://127.0.0.1:8000", None]
)
def test_a_change_from_another_origin_is_refused(session, page, origin):
    headers = {} if origin is None else {"Origin": origin}
    answer = page.post("1.png", state(HIPS), headers=headers)
    assert answer.status_code == 403
    assert session.store.entry("1.png").revision == 0


@pytest.mark.parametrize("mime", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_content_types_that_other_sites_can_send_are_refused(page, mime):
    assert page.post("1.png", json.dumps(state(HIPS)), content_type=mime).status_code == 415


def test_without_the_key_nothing_is_shown(session, page):
    stranger = PageClient(session)
    stranger.client.delete_cookie("hipdet_8000", domain="127.0.0.1")
    for path in ("/api/overview", "/api/picture?name=1.png", "/page/main.js"):
        assert stranger.get(path).status_code == 403
    assert stranger.post("1.png", state(HIPS)).status_code == 403
    answer = stranger.get("/?key=wrong")
    assert answer.status_code == 403
    assert "Open the address that hipdet annotate shows" in answer.text
    assert stranger.get("/?key=" + page.guard.key).status_code == 403  # the key of another session


def test_the_key_becomes_a_cookie_that_other_sites_cannot_use(session):
    page = PageClient(session)
    answer = page.get(f"/?key={page.guard.key}")
    assert (answer.status_code, answer.location) == (302, "/")
    assert answer.headers["Set-Cookie"].startswith("hipdet_8000=")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/api/film?name=1.png", "/api/nothing"])
def test_pages_of_other_sites_can_load_nothing(page, path):
    headers = page.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 30_000, 400),
        (b"[]", 400),
        (b"null", 400),
        (b"{}", 400),
        (state(HIPS, revision="0"), 400),
        (state(HIPS, revision=True), 400),
        (state([[20, 40, 60, 90]]), 400),
        (b'{"revision": 0, "revision": 1, "boxes": []}', 400),
        (b'{"revision": 0, "boxes": [], "exclude": "other: \\ud800", "unsure": false, "checked": true}', 400),
        (b'{"revision": 0, "boxes": [{"box": [NaN, 1, 2, 3], "label": "hip"}]}', 400),
        (b" " * 70_000, 413),
    ],
)
def test_malformed_changes_are_refused(session, page, content, status):
    answer = page.post("1.png", content)
    assert answer.status_code == status
    assert answer.get_json()["error"]
    assert session.store.entry("1.png").revision == 0


def test_the_later_of_two_tabs_gets_a_conflict(page):
    assert page.post("1.png", state(HIPS)).get_json()["revision"] == 1
    answer = page.post("1.png", state(HIPS[:1]))  # made from revision 0 too
    assert answer.status_code == 409
    assert answer.get_json()["film"]["boxes"] == state(HIPS)["boxes"]
    assert page.post("1.png", state(HIPS[:1], revision=1)).status_code == 200


def test_a_full_disk_is_reported(session, page, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    answer = page.post("1.png", state(HIPS))
    assert answer.status_code == 507
    assert answer.get_json() == {"error": "annotator.journal: not stored: No space left on device"}
    monkeypatch.undo()
    assert page.post("1.png", state(HIPS)).status_code == 200


@pytest.mark.parametrize("side", ["0", "255", "9000", "-1"])
def test_pictures_of_impossible_sizes_are_refused(page, side):
    assert page.get(f"/api/picture?name=1.png&side={side}").status_code == 400


def test_other_methods_are_refused(page):
    assert page.client.put("/api/film?name=1.png", base_url=page.base, json={}).status_code == 405
    assert page.client.post("/", base_url=page.base, json={}).status_code == 405


def test_proposals_reach_the_page_with_doubts(tmp_path):
    flags = {"2.png": ("low_score",)}
    detect = detector(flags=lambda path: flags.get(path.name, ()))
    session = open_session(films_in(tmp_path), Project(), detect)
    page = PageClient(session)
    until(lambda: not page.get("/api/news").get_json()["proposing"])
    news = page.get("/api/news").get_json()
    assert news["doubts"] == {"1.png": 0.2, "2.png": 2.2, "3.png": 0.2}
    proposal = page.get("/api/film?name=2.png").get_json()["proposal"]
    expected = {"boxes": HIPS, "scores": [0.9, 0.8], "labels": ["hip", "hip"], "flags": ["low_score"], "candidates": []}
    assert proposal == expected
    session.close()
