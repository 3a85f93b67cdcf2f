"""CSV files that list images."""

import pytest

from tf_simclr.data.sources.image_list import read_image_list
from tf_simclr.errors import UserError


def write(tmp_path, text: str | bytes) -> str:
    path = tmp_path / "list.csv"
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(data)
    return str(path)


def test_paths_and_labels_without_a_header(tmp_path):
    text = 'a.jpg,cat\nsub/./b.png,dog\n/else/c.jpg,cat\n"d,1.jpg",\n\ne.jpg\n'
    source = read_image_list(write(tmp_path, text))
    images = source.splits["train"]
    assert images.ids == (
        "a.jpg",
        "sub/b.png",
        "/else/c.jpg",
        "d,1.jpg",
        "e.jpg",
    )
    assert images.class_names == ("cat", "dog")
    assert images.labels.tolist() == [0, 1, 0, -1, -1]
    assert images.pixels.path(1) == str(tmp_path / "sub/b.png")
    assert images.pixels.path(2) == "/else/c.jpg"


def test_an_image_that_is_listed_again_counts_once(tmp_path):
    (tmp_path / "im").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "im")
    names = ["im/0.png", "im/1.png", "./im/0.png", tmp_path / "im/0.png"]
    names += ["im/0.png", "link/1.png"]
    text = "".join(f"{name},cat\n" for name in names)
    source = read_image_list(write(tmp_path, text))
    assert source.splits["train"].ids == ("im/0.png", "im/1.png")
    assert source.splits["train"].labels.tolist() == [0, 0]
    assert source.notices == ("left out 4 lines that list an image once more",)


def test_a_header_orders_the_columns(tmp_path):
    # As a spreadsheet writes it: a mark in front, Windows line ends.
    text = "\ufeffFilename,Split,Label\r\na.jpg,val,10\r\nb.jpg,,10\r\n"
    text += "c.jpg,train,9\r\nd.jpg,test,9\r\n"
    splits = read_image_list(write(tmp_path, text)).splits
    assert list(splits) == ["train", "validation", "test"]
    assert splits["train"].ids == ("b.jpg", "c.jpg")
    assert splits["train"].class_names == ("9", "10")
    assert splits["validation"].labels.tolist() == [1]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "lists no image"),
        ("path,label\n", "lists no image"),
        ("a.jpg,cat\n,dog\n", "Row 2 of .* has no path. Received: ,dog"),
        (
            "a.jpg,cat\n./a.jpg,dog\n",
            "Row 2 of .* lists a.jpg a second time, in split 'train' as 'dog';"
            " row 1 lists it in split 'train' as 'cat'",
        ),
        ("a.jpg,cat\na.jpg,\n", "a second time, .* without a label; row 1"),
        (
            "a.jpg,cat\nb.jpg,cat\na.jpg,cat,test\n",
            "Row 3 of .* lists a.jpg a second time, in split 'test' as 'cat';"
            " row 1 lists it in split 'train'",
        ),
        ("a.jpg,cat,later\n", "test as its split. Received: later"),
        ("photo of,class\na.jpg,cat\n", "names no image: a header must call"),
        ("path,label,label\na.jpg,a,b\n", "must name each column once"),
        ("a.jpg,cat,train\nb.jpg,dog,test\n", "class 'dog', which its train"),
        (b"a\xe4.jpg,cat\n", "is not valid UTF-8, nor UTF-16: save it as"),
        ('"a.jpg,cat\n', "cannot be read as a CSV file"),
    ],
)
def test_bad_lists_are_named(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_image_list(write(tmp_path, text))


ROWS = [("im/0.png", "bee"), ("im/1.png", "ant"), ("im/2.png", "bee")]


@pytest.mark.parametrize(
    "header",
    [None, ("filepath", "class"), ("Image Path", "Category"), ("id", "target")],
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_usual_tables(tmp_path, header, separator, encoding):
    lines = ROWS if header is None else [header, *ROWS]
    text = "".join(separator.join(line) + "\r\n" for line in lines)
    images = read_image_list(write(tmp_path, text.encode(encoding)))
    images = images.splits["train"]
    assert images.ids == ("im/0.png", "im/1.png", "im/2.png")
    assert images.class_names == ("ant", "bee")
    assert images.labels.tolist() == [1, 0, 1]


def test_names_are_found_as_they_lie_on_the_disk(tmp_path):
    (tmp_path / "im").mkdir()
    for name in ("0.png", "cafe\u0301.png", "ab12.JPG", "a\\b.png"):
        (tmp_path / "im" / name).touch()
    text = "im\\0.png,a\nim/caf\u00e9.png,b\nim/ab12,a\nim/a\\b.png,b\n"
    text += "im/gone,a\n"
    images = read_image_list(write(tmp_path, text)).splits["train"]
    assert images.ids == (
        *("im/0.png", "im/cafe\u0301.png", "im/ab12.JPG", "im/a\\b.png"),
        "im/gone",
    )


def test_classes_are_composed_in_one_way(tmp_path):
    text = "a.jpg,caf\u00e9\nb.jpg,cafe\u0301\nc.jpg,bee\n"
    images = read_image_list(write(tmp_path, text)).splits["train"]
    assert images.class_names == ("bee", "caf\u00e9")
    assert images.labels.tolist() == [1, 1, 0]


def test_other_columns_are_named(tmp_path):
    text = "path,width,label,,Height\na.jpg,3,cat,,4\n"
    source = read_image_list(write(tmp_path, text))
    assert source.notices == (
        "columns that only --group_by reads: width, Height",
    )
    assert source.splits["train"].class_names == ("cat",)


def test_a_split_has_any_of_its_names(tmp_path):
    text = "a.jpg,x,Training\nb.jpg,x,dev\nc.jpg,x,holdout\n"
    splits = read_image_list(write(tmp_path, text)).splits
    assert {n: s.ids for n, s in splits.items()} == {
        "train": ("a.jpg",),
        "validation": ("b.jpg",),
        "test": ("c.jpg",),
    }
