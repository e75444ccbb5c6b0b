"""``hipdet fit`` up to the plan, on fourteen small films."""

import json

from film_sources import film, write
from tool_runs import run_tool_here

COUNT = 14
HEAD = "image,x,y,side,label"


def rows(count=COUNT, label="knee"):
    return [[f"f{n:02}.png", 20 + n, 15 + n, 40 + n % 5, label] for n in range(count)]


def make_films(root, count=COUNT):
    for n in range(count):
        write(root / f"films/f{n:02}.png", film(120, 150, "PNG", seed=n))


def fit(place, *arguments, labels="labels.csv"):
    return run_tool_here("fit", "films", "--labels", labels, "--out", "out", "--plan-only", *arguments, cwd=place)


def planned(place, *arguments, labels="labels.csv"):
    done = fit(place, *arguments, labels=labels)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((place / "out/plan.json").read_text())
