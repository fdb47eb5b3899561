"""What is uploaded, byte for byte, with the hub's client replaced where it would speak to the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import huggingface_hub
import pytest
import torch

from mis_lightning.cli import main
from mis_lightning.errors import InputError
from mis_lightning.export.model_card import CardFacts
from mis_lightning.export.publish import check_name, stage, upload
from mis_lightning.models.pretrained import load_pretrained, save_pretrained

FILES = {"README.md", "config.json", "model.safetensors"}


class Api:
    """Keeps what it is given; its methods take what those of the real client take."""

    repositories: ClassVar[dict[str, dict[str, bytes]]] = {}
    private: bool | None = None
    fails: Exception | None = None

    def __init__(self, **_: Any) -> None:
        pass

    def create_repo(self, repo_id: str, *, private: bool | None = None, exist_ok: bool = False) -> None:
        if Api.fails is not None:
            raise Api.fails
        assert exist_ok
        Api.private = private
        Api.repositories.setdefault(repo_id, {})

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str
    ) -> str:
        files = {
            path.name: path.read_bytes() for path in folder_path.iterdir() if path.name in allow_patterns
        }
        Api.repositories[repo_id].update(files)
        return f"commit of {repo_id}: {commit_message}"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> type[Api]:
    monkeypatch.setattr(Api, "repositories", {})
    monkeypatch.setattr(Api, "private", None)
    monkeypatch.setattr(Api, "fails", None)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return Api


def test_a_dry_run_writes_what_is_uploaded(api, tiny_click_vit, tmp_path: Path, capsys) -> None:
    model = tiny_click_vit().eval()
    save_pretrained(model, tmp_path / "model")
    push = ["push", str(tmp_path / "model"), "alice/cat", "--licence", "apache-2.0", "--data", "cats"]
    dry = tmp_path / "dry"
    assert main([*push, "--dry-run", str(dry)]) == 0
    assert api.repositories == {}
    assert {path.name for path in dry.iterdir()} == FILES
    out = capsys.readouterr().out
    assert "not stated on the card: --recipe, --results" in out
    assert "nothing was uploaded" in out

    assert main([*push, "--private", "--message", "First"]) == 0
    assert api.repositories == {"alice/cat": {path.name: path.read_bytes() for path in dry.iterdir()}}
    assert api.private is True
    assert "commit of alice/cat: First" in capsys.readouterr().out

    loaded = load_pretrained(dry)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert "license: apache-2.0" in (dry / "README.md").read_text(encoding="utf-8")
    assert main([*push, "--dry-run", str(dry)]) == 0  # again, over the earlier one


def test_a_folder_of_something_else_is_left_alone(tiny_click_vit, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"empty folder.*holds thesis\.tex"):
        stage(tiny_click_vit(), tmp_path, "alice/cat", CardFacts())
    with pytest.raises(InputError, match="is a file"):
        stage(tiny_click_vit(), tmp_path / "thesis.tex", "alice/cat", CardFacts())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "name", ["cat", "alice/", "/cat", "a/b/c", "alice/cat@v2", "../cat", "alice/my cat", ""]
)
def test_names(name: str) -> None:
    with pytest.raises(InputError, match="Expected owner/name"):
        check_name(name)


def test_a_hub_that_refuses(api, tmp_path: Path, tiny_click_vit, monkeypatch) -> None:
    stage(tiny_click_vit(), tmp_path, "alice/cat", CardFacts())
    monkeypatch.setattr(api, "fails", OSError("no way out\nand more"))
    with pytest.raises(InputError) as caught:
        upload(tmp_path, "alice/cat")
    message = str(caught.value)
    assert "OSError: no way out)" in message
    for part in ("hf auth login", "HF_TOKEN", "--dry-run DIR", "hf upload alice/cat DIR"):
        assert part in message
    assert "\n" not in message


def test_the_real_client_without_network(tmp_path: Path, tiny_click_vit, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    stage(tiny_click_vit(), tmp_path, "alice/cat", CardFacts())
    with pytest.raises(InputError, match="alice/cat could not be uploaded"):
        upload(tmp_path, "alice/cat")
