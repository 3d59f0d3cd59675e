"""Tests of the captions and attributes of a folder's pictures, read from its metadata.csv."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxgan import data
from jaxgan.data import metadata
from jaxgan.errors import SetupError

FILES = ("cats/a.png", "cats/b.png", "dogs/c.png")


@pytest.fixture
def folder(tmp_path):
    for grey, name in enumerate(FILES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), grey, np.uint8)).save(tmp_path / name)
    return tmp_path


def opened(folder, text, **options):
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    options = {"path": str(folder), "size": 8, "channels": 1, **options}
    source = data.open_source("folder", **options)
    assert data.open_spec("folder", **options) == source.spec
    return source


def test_a_folder_without_metadata_has_neither(folder):
    source = data.open_source("folder", path=str(folder), size=8, channels=1)
    assert source.captions is None
    assert source.spec.attributes == ()
    assert "attributes" not in source.spec.fields


def test_captions_join_by_file_name(folder):
    source = opened(
        folder, 'file_name,caption\ndogs/c.png,"a dög, sitting"\nelsewhere.png,no\n./cats/a.png,a cat\n'
    )
    assert source.captions == ("a cat", "", "a dög, sitting")  # In the order of the examples.
    assert source.spec.attributes == ()


def test_numbers_are_attributes_in_every_batch(folder):
    text = "caption,Smiling,file_name,age\nbee,-1,cats/b.png,2.5\nsea,1,dogs/c.png,3\nay,1,cats/a.png,1e1\n"
    source = opened(folder, text)
    assert source.spec.attributes == ("Smiling", "age")
    assert source.spec.fields["attributes"].shape == (2,)
    assert source.captions == ("ay", "bee", "sea")
    truth = np.array([[1, 10], [-1, 2.5], [1, 3]], np.float32)
    batch = source.batches(seed=0, n_critic=2, batch_size=3)[0]
    assert batch["attributes"].dtype == np.float32
    np.testing.assert_array_equal(batch["attributes"], truth[batch["real"][..., 0, 0, 0]])
    prepared = source.prepare({name: np.asarray(x) for name, x in batch.items()})
    np.testing.assert_array_equal(prepared["attributes"], batch["attributes"])


def test_attributes_and_captions_follow_a_split_and_skipped_files(folder, monkeypatch):
    for i in range(40):
        Image.fromarray(np.full((8, 8), 10 + i, np.uint8)).save(folder / f"{i:02}.png")
    (folder / "05.png").write_bytes(b"not a picture")
    rows = "".join(f"{i:02}.png,picture {10 + i},{10 + i}\n" for i in range(40))
    rows += "".join(f"{name},picture {i},{i}\n" for i, name in enumerate(FILES))
    for limit in (2**30, 0):  # With 0, pictures are decoded at each use.
        monkeypatch.setattr("jaxgan.data.folder.MEMORY_LIMIT", limit)
        whole = opened(folder, f"image_id,text,grey\n{rows}", skip_bad=True)
        seen = 0
        for split in ("train", "validation", "test"):
            source = opened(folder, f"image_id,text,grey\n{rows}", skip_bad=True, split=split)
            found = source.examples[np.arange(source.num_examples)]
            grey = found["real"][:, 0, 0, 0]
            np.testing.assert_array_equal(found["attributes"][:, 0], grey)
            assert source.captions == tuple(f"picture {x}" for x in grey)
            later = data.split(whole, split)
            again = later.examples[np.arange(later.num_examples)]
            for name, value in found.items():
                np.testing.assert_array_equal(value, again[name])
            assert later.captions == source.captions
            seen += len(grey)
        assert seen == whole.num_examples == 42


def test_pairs_of_two_folders_fall_in_the_same_split(folder):
    (folder / "x").mkdir()
    (folder / "y").mkdir()
    for i in range(30):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / "x" / f"{i}.png")
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / "y" / f"{i}.bmp")
    greys = [
        data.open_source("folder", path=str(folder / name), size=8, channels=1, split="train")
        for name in ("x", "y")
    ]
    x, y = (source.examples[np.arange(source.num_examples)]["real"] for source in greys)
    np.testing.assert_array_equal(x, y)


def test_texts_without_a_caption_column_are_joined(folder):
    source = opened(folder, "file,colour,kind\ncats/a.png,black,cat\ncats/b.png,,cat\n")
    assert source.captions == ("black, cat", "cat", "")


@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(width=32, allow_nan=False, allow_infinity=False)), min_size=1
    )
)
def test_numbers_come_back_as_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("metadata") / "metadata.csv"
    names = [f"{i}.png" for i in range(len(rows))]
    lines = [f"{name},{int(flag)},{number!r}" for name, (flag, number) in zip(names, rows, strict=True)]
    path.write_text("\n".join(["\ufefffilename,flag,number", *reversed(lines)]), encoding="utf-8")
    found = metadata.read(path, names)
    assert found.names == ("flag", "number")
    assert found.captions is None
    np.testing.assert_array_equal(found.attributes, np.array(rows, np.float32))


@pytest.mark.parametrize("cell", ["", "nan", "inf", "unknown"])
def test_a_column_with_a_cell_that_is_no_number_is_text(folder, cell):
    source = opened(folder, f"file_name,age\ncats/a.png,3\ncats/b.png,{cell}\ndogs/c.png,4\n")
    assert source.spec.attributes == ()
    assert source.captions == ("3", cell, "4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("name,caption\na.png,x\n", "no column of file names among name, caption: name one file_name"),
        ("file_name,caption\ncats/a.png\n", "has 1 cells in row 1 and 2 columns"),
        ("file_name,caption\ncats/a.png,x\ncats/a.png,y\n", "two rows of the picture 'cats/a.png'"),
        ("file_name,caption,caption\ncats/a.png,x,y\n", "two columns of one name"),
        ("file_name,age\ncats/a.png,3\n", "no row of the picture 'cats/b.png', to tell its age"),
        ('file_name,caption\ncats/a.png,"x\n', "cannot be read as a CSV"),
    ],
)
def test_malformed_metadata_are_one_line(folder, text, message):
    with pytest.raises(SetupError, match=message) as error:
        opened(folder, text)
    assert "metadata.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_other_encodings_are_refused(folder):
    (folder / "metadata.csv").write_bytes("file_name,caption\ncats/a.png,dög\n".encode("latin-1"))
    with pytest.raises(SetupError, match=r"metadata\.csv cannot be read as a CSV file in UTF-8"):
        data.open_spec("folder", path=str(folder), size=8, channels=1)
