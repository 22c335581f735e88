"""The command line, with cheap figures in place of the real ones."""

import jax
import pytest
from typer.testing import CliRunner

import jaxsp
from jaxsp import _cli
from jaxsp.figures import FIGURES, _run
from tests.figures.fakes import TABLE

runner = CliRunner()


@pytest.fixture
def fake_figures(monkeypatch):
    monkeypatch.setattr(_run, "FIGURES", TABLE)


def test_list():
    result = runner.invoke(_cli.app, ["list"])
    assert result.exit_code == 0
    assert all(name in result.output for name in FIGURES)


def test_version():
    result = runner.invoke(_cli.app, ["--version"])
    assert result.output.strip() == jaxsp.__version__


def test_reproduce(tmp_path, fake_figures):
    result = runner.invoke(_cli.app, ["reproduce", "good", "--out", str(tmp_path), "--quick"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report.json").exists()
    assert jax.config.read("jax_enable_x64")


@pytest.mark.parametrize("name", ["wrong", "broken"])
def test_exit_status_of_a_disagreement_and_of_a_failure(tmp_path, fake_figures, name):
    result = runner.invoke(_cli.app, ["reproduce", name, "--out", str(tmp_path)])
    assert result.exit_code == 1


def test_unknown_figure(tmp_path):
    result = runner.invoke(_cli.app, ["reproduce", "binary-percepton", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "binary-perceptron" in result.output


def test_folder_that_cannot_be_written(tmp_path, fake_figures):
    blocked = tmp_path / "file"
    blocked.touch()
    result = runner.invoke(_cli.app, ["reproduce", "good", "--out", str(blocked / "sub")])
    assert result.exit_code == 2
    assert "--out" in result.output


def test_images_are_checked_before_anything_is_drawn(tmp_path, fake_figures):
    begin = ["reproduce", "good", "--out", str(tmp_path / "out")]
    missing = str(tmp_path / "train-images.gz")
    for options, message in (
        (["--image-labels", missing], "needs `--images`"),
        (["--images", missing], "cannot be read as an npz file"),
        (["--images", missing, "--image-labels", missing], "cannot be read"),
    ):
        result = runner.invoke(_cli.app, begin + options)
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())
        assert not (tmp_path / "out").exists()
