import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from mis_lightning.annotation.clicks_file import ClickRequests, ObjectRequest
from mis_lightning.errors import InputError
from mis_lightning.grey_levels import to_rgb
from mis_lightning.images import Reading
from mis_lightning.structures import Click


def write(folder, content, name="clicks.json"):
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def asked(file, **options):
    return [(request.key, request.path, request.objects) for request in ClickRequests(file, **options)]


def test_paths_are_relative_to_the_file_and_clicks_keep_their_order(tmp_path):
    clicks = [{"row": 3, "col": 4.5, "positive": True}, {"row": 0, "col": 0, "positive": False}]
    file = write(
        tmp_path, {"a/b.jpg": clicks, "/elsewhere/c.png": [], "./a/../a/b.jpg": [{"row": 1, "col": 2}]}
    )
    assert asked(file) == [
        (
            "a/b.jpg",
            tmp_path / "a/b.jpg",
            (ObjectRequest(None, (Click(3, 4.5, True), Click(0, 0, False), Click(1, 2, True))),),
        ),
        ("elsewhere/c.png", tmp_path / "/elsewhere/c.png", (ObjectRequest(None, ()),)),
    ]


def test_objects_in_the_order_in_which_they_occur(tmp_path):
    clicks = [{"row": k, "col": 0, "object": name} for k, name in enumerate(("dog", "cat", "dog"))]
    ((_, _, objects),) = asked(write(tmp_path, {"a.jpg": clicks}))
    assert objects == (
        ObjectRequest("dog", (Click(0, 0, True), Click(2, 0, True))),
        ObjectRequest("cat", (Click(1, 0, True),)),
    )


@pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
def test_the_same_as_csv(tmp_path, separator):
    content = {
        "a,b.jpg" if separator == "\t" else "größe.jpg": [
            {"row": 1, "col": 2.5, "positive": True, "object": "cat"},
            {"row": 3, "col": 4, "positive": False, "object": "cat"},
        ],
        "c.jpg": [{"row": 5, "col": 6}],
    }
    lines = ["\ufeffImage,Row,Col,Positive,Object".replace(",", separator)]
    for name, clicks in content.items():
        for k, click in enumerate(clicks):
            positive = {True: ("1", "True")[k % 2], False: "no"}.get(click.get("positive"), "")
            cells = (name, str(click["row"]), str(click["col"]), positive, click.get("object", ""))
            lines += [separator.join(cells), ""]
    as_csv = asked(write(tmp_path, "\r\n".join(lines), "clicks.CSV"))
    assert as_csv == asked(write(tmp_path, content))


def test_a_folder_of_images(tmp_path):
    (tmp_path / "images").mkdir()
    file = write(tmp_path, {"a.jpg": []})
    assert [(key, path) for key, path, _ in asked(file, images=tmp_path / "images")] == [
        ("a.jpg", tmp_path / "images" / "a.jpg")
    ]
    with pytest.raises(InputError, match="folder of images"):
        ClickRequests(file, tmp_path / "nowhere")


def test_images_that_are_all_elsewhere_are_one_mistake(tmp_path):
    file = write(tmp_path, {"a.jpg": [], "b.jpg": []})
    with pytest.raises(InputError, match=r"None of the 2 images of .*a\.jpg\. .*--images"):
        ClickRequests(file).check_images()
    (tmp_path / "b.jpg").touch()
    ClickRequests(file).check_images()  # what else is missing is said when it is read
    ClickRequests(write(tmp_path, {})).check_images()


def test_images_are_read_as_they_are_to_be(tmp_path):
    deep = np.random.default_rng(0).integers(0, 4000, (20, 30)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    file = write(tmp_path, {"a.png": []})
    np.testing.assert_array_equal(ClickRequests(file)[0].read().rgb, to_rgb(deep))
    reading = Reading(window=(1000, 2000))
    expected = to_rgb(deep, window=(1000, 2000))
    np.testing.assert_array_equal(ClickRequests(file, reading=reading)[0].read().rgb, expected)


def test_slices_of_a_volume(tmp_path):
    nibabel = pytest.importorskip("nibabel", reason="needs the medical extra")
    from mis_lightning.formats.nifti import NiftiSlices

    volume = np.random.default_rng(0).integers(0, 400, (9, 11, 13)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "ct.nii.gz")
    text = "image,row,col,slice\nct.nii.gz,1,2,3\nct.nii.gz,1,2,4\nct.nii.gz,5,6,3\n"
    requests = ClickRequests(write(tmp_path, text, "clicks.csv"), axis="coronal", reading=Reading((0, 300)))
    assert [request.key for request in requests] == ["ct.nii.gz#coronal-3", "ct.nii.gz#coronal-4"]
    assert len(requests[0].objects[0].clicks) == 2
    expected = NiftiSlices(tmp_path / "ct.nii.gz", "coronal", (0, 300))[4]
    np.testing.assert_array_equal(requests[1].read().rgb, expected)
    (request,) = ClickRequests(write(tmp_path, {"ct.nii.gz": [{"row": 1, "col": 2}]}))
    with pytest.raises(InputError, match="slice"):
        request.read()


def test_slices_of_a_tiff_stack(tmp_path):
    stack = np.random.default_rng(0).integers(0, 4000, (3, 11, 13)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "cells.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "one.tif", stack[0])
    text = "image,row,col,slice\ncells.tif,1,2,2\none.tif,1,2,2\n"
    file = write(tmp_path, text, "clicks.csv")
    request, one = ClickRequests(file, axis="coronal", reading=Reading((0, 3000)))
    assert request.key == "cells.tif#slice-2"
    np.testing.assert_array_equal(request.read().rgb, to_rgb(stack[2], window=(0, 3000)))
    with pytest.raises(InputError, match="which is one image, but got slice 2"):
        one.read()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "JSON file of clicks"),
        ([], "got a list"),
        ({"a.jpg": [{"row": 1}]}, "a.jpg"),
        ({"a.jpg": [{"row": "x", "col": 1, "positive": True}]}, "'x'"),
        ({"a.jpg": [{"row": 1, "col": 1, "positive": "perhaps"}]}, "perhaps"),
        ({"a.jpg": [{"row": 1, "col": 1, "positive": 2}]}, "positive"),
        ({"a.jpg": [{"row": 1, "col": 1, "positive": "0.5"}]}, "positive"),
        ({"a.jpg": [{"row": float("nan"), "col": 1}]}, "row"),
        ({"a.jpg": [{"row": 1, "col": float("inf")}]}, "col"),
        ({"a.nii": [{"row": 1, "col": 1, "slice": 2.5}]}, "2.5"),
        ({"a.jpg": [{"row": 1, "col": 1, "slice": "x"}]}, "slice"),
        ({"a.jpg": [3]}, "a.jpg"),
        ({"a.jpg": 3}, "a.jpg"),
    ],
)
def test_other_content_is_refused_with_its_place(tmp_path, content, said):
    file = write(tmp_path, content)
    with pytest.raises(InputError, match=said) as caught:
        ClickRequests(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "columns image, row, col"),
        ("image,x,y\na.jpg,1,2\n", "columns image, row, col"),
        ("image,row,col\na.jpg,1,2\n,1,2\n", "line 3"),
        ("image,row,col\na.jpg,1,2\na.jpg,1\n", "line 3"),
        ("image,row,col,positive\na.jpg,1,2,x\n", "line 2"),
    ],
)
def test_other_lines_are_refused_with_their_place(tmp_path, content, said):
    file = write(tmp_path, content, "clicks.csv")
    with pytest.raises(InputError, match=said) as caught:
        ClickRequests(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", ["nothing.json", "nothing.csv"])
def test_missing_file(tmp_path, name):
    with pytest.raises(InputError, match=name):
        ClickRequests(tmp_path / name)


def test_numbers_as_pandas_writes_them(tmp_path):
    text = "image,row,col,positive,slice\nct.nii,1.0,2.0,1.0,3.0\nct.nii,5.0,6.0,0.0,3.0\na.png,1,2,,\n"
    requests = ClickRequests(write(tmp_path, text, "clicks.csv"))
    assert [request.key for request in requests] == ["ct.nii#axial-3", "a.png"]
    assert [click.positive for click in requests[0].objects[0].clicks] == [True, False]
