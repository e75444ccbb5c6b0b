from hipdet.data.split import Shared, find_leaks


def image(name, patient=None, source="s"):
    return {"file_name": name, "source": source, **({"patient": patient} if patient else {})}


def test_patients_and_films_on_two_sides():
    parts = {
        "train": [image("1.jpg", "A"), image("2.jpg", "B"), image("3.jpg", "C"), image("4.jpg")],
        "val": [image("5.jpg", "A"), image("2.jpg", "B"), image("6.jpg", "C", "other")],  # another C
        "test": [image("7.jpg", "A"), image("4.jpg")],
    }
    leaks = find_leaks(parts)
    assert leaks.patients == (
        Shared("s A", "1.jpg", ("train", "val", "test")),
        Shared("s B", "2.jpg", ("train", "val")),
    )
    assert leaks.films == (Shared("2.jpg", "2.jpg", ("train", "val")), Shared("4.jpg", "4.jpg", ("train", "test")))
    assert leaks.without_patient == 2
    assert leaks
    assert not find_leaks({"train": parts["train"]})
