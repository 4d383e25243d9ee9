"""The page: whole, self-contained, readable by machines, and safe with odd names."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console
from safetensors.numpy import load_file

from augmint.report import collect, write
from augmint.report.page import SECTIONS, html
from augmint.report.pictures import film, picture
from augmint.report.text import measures
from augmint.report.words import BELIEVED
from fake_run import make_run

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Reader(HTMLParser):
    """Checks that every element is closed, and collects ids, images and outside references."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.outside: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "img":
            self.images.append(values)
        for name in ("src", "href", "xlink:href"):
            target = values.get(name) or "#"
            if not target.startswith(("#", "data:", "report.json")):
                self.outside.append(target)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(make_run(tmp_path_factory.mktemp("page") / "run"))


def test_the_page_is_whole_and_needs_nothing_else(page: Path) -> None:
    text = page.read_text()
    reader = Reader(text)
    assert reader.open == []
    assert reader.outside == []
    assert "script" not in reader.tags
    assert "url(http" not in text
    assert len(reader.ids) == len(set(reader.ids))
    assert set(SECTIONS) - {"worth"} <= set(reader.ids)  # the invented run is at one number of labels


def test_pictures_have_words_and_figures_have_names(page: Path) -> None:
    text = page.read_text()
    reader = Reader(text)
    counts = {"families": 90, "pairs": 32, "rejected": 24, "encoder": 2, "nearest": 1, "film": 1}
    counts |= {"classes": 40, "noise ways": 2 * 10, "parent ways": 2 * 11, "believed": 4 * 10}
    assert len(reader.images) == sum(counts.values())
    assert all(image["alt"] for image in reader.images)
    names = re.findall(r'<svg role="img" aria-label="([^"]+)"', text)
    assert len(names) == len(set(names)) == 9
    assert "#123456" not in text


def test_the_gallery_is_shown_in_its_order(page: Path) -> None:
    tensors = load_file(page.parent.parent / "minted" / "gallery.safetensors")
    sections = dict(re.findall(r'<section id="(\w+)">(.*?)</section>', page.read_text(), re.DOTALL))

    def uris(section: str) -> list[str | None]:
        return [image["src"] for image in Reader(sections[section]).images]

    def wanted(*rows: np.ndarray) -> list[str]:
        return [picture(p).uri for row in rows for p in row]

    ends, noise, across = (tensors[name] for name in ("way_parents", "noise_ways", "parent_ways"))
    along = [part for k in range(2) for part in (ends[k, :1], noise[k])]
    between = [part for k in range(2) for part in (ends[k, :1], across[k], ends[k, 1:])]
    assert uris("ways") == wanted(*along, *between)
    assert uris("believed") == wanted(*(tensors[name] for name in BELIEVED))
    assert "3.00, too real" in sections["believed"]
    assert uris("minted")[90:] == wanted(tensors["by_class"])


def test_the_film_is_that_of_the_runs_own_seed(tmp_path: Path) -> None:
    """With several encoder seeds there are several generators: their sheets must not be mixed."""
    for folder, colour, seen in (("aaaaaaaaaaaa-0", "red", 10), ("bbbbbbbbbbbb-1", "blue", 20), ("c-10", "blue", 30)):
        stage = tmp_path / "stages" / "generate-image" / folder
        stage.mkdir(parents=True)
        for name in ("film", f"fakes_{seen}"):
            Image.new("RGB", (20, 10), colour).save(stage / f"{name}.png")
    own, other = film(tmp_path, 0), film(tmp_path, 1)
    assert own is not None and other is not None
    assert (own.caption, other.caption) == ("10", "20")
    assert Image.open(io.BytesIO(base64.b64decode(own.uri.partition(",")[2]))).getpixel((0, 0)) == (255, 0, 0)
    assert film(tmp_path, 2) is None


def test_the_verdict_comes_first_in_words_and_sign(page: Path) -> None:
    facts = json.loads(page.with_name("report.json").read_text())
    text = page.read_text()
    assert facts["schema"] == 1
    for outcome in facts["verdict"]:
        assert outcome["sentence"].replace("'", "&#39;") in text
    assert text.index(facts["verdict"][0]["sentence"]) < text.index('id="arms"')
    assert "▲ helped" in text
    assert "Limits" in text


def test_the_costs_of_minting_have_words(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    for stage in ("ground", "thresholds", "mint-more"):
        done = folder / "stages" / stage / "0123456789ab-0" / "done.json"
        done.parent.mkdir(parents=True)
        done.write_text('{"seconds": 1.0, "peak_memory": 1}')
    shown = html(collect(folder))
    assert "parents and judge of minting</th>" in shown and not re.search("row.>(ground|thresholds|mint-more)<", shown)


def test_written_again_it_is_the_same(page: Path) -> None:
    before = page.read_bytes()
    assert write(page.parent.parent).read_bytes() == before


@pytest.mark.parametrize("kind", ["folds", "bare"])
def test_other_kinds_of_runs_have_a_page(kind: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", kind)
    (folder / "metrics.jsonl").unlink(missing_ok=True)  # figures take most of the time
    text = write(folder).read_text()
    assert Reader(text).open == []
    assert ("Fold by fold" in text) == (kind == "folds")


def test_without_minting_its_sections_are_absent(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", minted=False)
    (folder / "metrics.jsonl").unlink()
    reader = Reader(write(folder).read_text())
    assert not {"minted", "copies", "rejected"} & set(reader.ids)
    assert [image["width"] for image in reader.images] == ["800", "800"]  # map and neighbours


def test_a_group_that_misleads_is_marked(page: Path) -> None:
    section = re.search(r'<section id="value">.*?</table>', page.read_text(), re.DOTALL)
    assert section is not None
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", section.group(), re.DOTALL)
    assert ["▼" in row for row in rows] == [False, False, True]
    assert "-2.0" in rows[2] and "[-3.0, -1.0]" in rows[2] and "-2.00" in rows[2]  # also of 100 images


def test_the_parents_of_the_best_and_worst_children_are_on_the_page(page: Path) -> None:
    section = page.read_text().partition('<section id="value"')[2].partition("</section>")[0]
    assert section.index("<code>good.png</code>") < section.index("<code>00:7</code>")  # no file: its identity
    assert "Of 80 parents" in section and "mint.drop=[" in section and "may be dropped" not in section


def test_odd_names_do_no_harm(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a & <b>"
    shutil.copytree(page.parent.parent, folder)
    (folder / "metrics.jsonl").unlink()
    table = pq.read_table(folder / "manifest.parquet").to_pydict()
    names = {"zero": "<script>alert(1)</script>", "one": "$x$", "two": "猫", "three": 'a"&b'}
    table["class"] = [names.get(n, n) for n in table["class"]]
    pq.write_table(pa.table(table), folder / "manifest.parquet")
    text = write(folder).read_text()
    assert Reader(text).open == []
    assert "<script" not in text
    assert "猫" in text
    assert "<h1>a &amp; &lt;b&gt;</h1>" in text


def test_many_classes_show_the_hardest(page: Path) -> None:
    facts = collect(page.parent.parent)
    facts["curves"] = {"stages": {}, "arms": {}}
    cell = {"low": 0.0, "high": 1.0, "images": 5}
    facts["per_class"] = {
        "classes": [f"kind {i}" for i in range(100)],
        "arms": {"encoder": [{**cell, "accuracy": i / 100} for i in range(100)]},
    }
    text = html(facts)
    assert "kind 39<" in text
    assert "kind 40<" not in text
    assert "hardest of 100 classes" in text


def test_pictures_are_enlarged_by_whole_factors_and_large_ones_reduced() -> None:
    small = picture(np.zeros((1, 28, 20), np.uint8))
    assert (small.width, small.height) == (40, 56)
    large = picture(np.zeros((3, 300, 150), np.uint8))
    assert (large.width, large.height) == (48, 96)
    assert large.uri.startswith("data:image/png;base64,")


def test_the_generators_measures_are_on_the_page(tmp_path: Path) -> None:
    bare, run = make_run(tmp_path / "bare", minted=False), make_run(tmp_path / "run")
    for folder in (bare, run):
        write(folder)
    assert 'id="generator"' not in (bare / "report" / "index.html").read_text()
    page = (run / "report" / "index.html").read_text()
    assert "FD-simclr-cnn" in page and "0.123" in page and "<td>–</td>" in page and 'href="#generator"' in page
    console = Console(width=200, file=io.StringIO())
    console.print(measures(collect(run)["measures"]))
    assert "FD-simclr-cnn" in console.file.getvalue()  # type: ignore[attr-defined]
