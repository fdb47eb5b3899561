import json

import pytest

from mis_lightning.data.click_requests import ClickRequests
from mis_lightning.errors import InputError
from mis_lightning.structures import Click


def write(folder, content):
    file = folder / "clicks.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_paths_are_relative_to_the_file_and_clicks_keep_their_order(tmp_path):
    clicks = [{"row": 3, "col": 4.5, "positive": True}, {"row": 0, "col": 0, "positive": False}]
    requests = ClickRequests(write(tmp_path, {"a/b.jpg": clicks, "/elsewhere/c.png": []}))
    assert len(requests) == 2
    assert requests[0].path == tmp_path / "a/b.jpg"
    assert requests[0].clicks == (Click(3, 4.5, True), Click(0, 0, False))
    assert requests[1].path.as_posix() == "/elsewhere/c.png"
    assert requests[1].clicks == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "JSON file of clicks"),
        ([], "got a list"),
        ({"a.jpg": [{"row": 1}]}, "a.jpg"),
        ({"a.jpg": [{"row": "x", "col": 1, "positive": True}]}, "'x'"),
        ({"a.jpg": 3}, "a.jpg"),
    ],
)
def test_other_content_is_refused_with_its_place(tmp_path, content, said):
    file = write(tmp_path, content)
    with pytest.raises(InputError, match=said) as caught:
        ClickRequests(file)
    assert str(file) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.json"):
        ClickRequests(tmp_path / "nothing.json")
