"""luigi.cfg: which file wins, where a relative path starts, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from luigi import configuration

from tasks.setup import settings
from tasks.setup.user_errors import UsageError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings._read.cache_clear()
    return tmp_path


def reload(monkeypatch):
    """Read the configuration as a fresh process would."""
    parser = type(configuration.get_config())
    monkeypatch.setattr(parser, "_instance", None)
    monkeypatch.setattr(parser, "_config_paths", ["luigi.cfg"])
    settings._read.cache_clear()
    settings.add_project_config()


def test_the_nearest_file_wins_and_paths_start_at_it(folder, monkeypatch):
    reload(monkeypatch)
    assert settings.artifacts_folder() == settings.PROJECT / "data" / "artifacts"
    (folder / "luigi.cfg").write_text("[paths]\nartifacts = here\n")
    reload(monkeypatch)
    assert settings.artifacts_folder() == folder / "here"
    named = folder / "sub" / "other.cfg"
    named.parent.mkdir()
    named.write_text("[paths]\nartifacts = there\n")
    monkeypatch.setenv("LUIGI_CONFIG_PATH", str(named))
    reload(monkeypatch)
    configuration.get_config().read(str(named))  # Luigi does this when it is imported
    assert settings.artifacts_folder() == folder / "sub" / "there"


def test_a_value_that_cannot_be_used_says_what_was_expected(folder, monkeypatch):
    (folder / "luigi.cfg").write_text("[compute]\ndevice = gpu\nthreads = -1\n")
    reload(monkeypatch)
    with pytest.raises(UsageError, match=r"device = 'gpu'.*expected auto, cpu or cuda"):
        settings.get("compute", "device")
    with pytest.raises(UsageError, match="a whole number"):
        settings.get("compute", "threads")


@pytest.mark.parametrize(
    "text, device",
    [("cuda:1", "cuda:1"), ("cuda:0,cuda:1", "cuda:0,cuda:1"), (" cuda:3, cuda:0 ", "cuda:3,cuda:0")]
    + [
        (text, None)
        for text in ("cuda:", "cuda:x", "cuda:0,", "cuda:0,cpu", "cuda:1,cuda:1", "cuda,cuda:1", "")
    ],
)
def test_gpus_are_named_by_number(folder, monkeypatch, text, device):
    (folder / "luigi.cfg").write_text(f"[compute]\ndevice = {text}\n")
    reload(monkeypatch)
    if device:
        assert settings.compute().device == device
    else:
        with pytest.raises(UsageError, match="or GPUs by number such as cuda:0,cuda:1"):
            settings.get("compute", "device")


def test_unknown_settings_name_the_nearest(folder):
    (folder / "luigi.cfg").write_text("[compute]\ndevise = cpu\n")
    with pytest.raises(UsageError, match="unknown setting 'devise' in \\[compute\\]; did you mean 'device'"):
        settings.check(set(), set())


def test_a_section_named_nearly_as_ours_is_refused(folder):
    (folder / "luigi.cfg").write_text("[path]\nartifacts = x\n")
    with pytest.raises(UsageError, match=r"\[path\].*\[paths\]"):
        settings.check(set(), set())


def test_every_setting_stands_in_luigi_cfg_with_its_default():
    text = (Path(settings.PROJECT) / "luigi.cfg").read_text(encoding="utf-8")
    for section, options in settings.SETTINGS.items():
        assert f"[{section}]" in text
        for name, setting in options.items():
            assert f"#{name} = {setting.default}".strip() in text, name


@pytest.mark.parametrize(
    "arguments, configured, local",
    [
        ([], {}, "true"),
        (["--scheduler-host", "x"], {}, "false"),
        (["--scheduler-url=http://x"], {}, "false"),
        ([], {"default-scheduler-host": "x"}, "false"),
        (["--scheduler-host", "x"], {"local_scheduler": "true"}, "false"),
        ([], {"local_scheduler": "false"}, "false"),
    ],
)
def test_stages_are_scheduled_here_unless_a_luigid_is_named(
    folder, monkeypatch, arguments, configured, local
):
    reload(monkeypatch)
    config = configuration.get_config()
    for name, value in configured.items():
        config.set("core", name, value)
    settings.choose_scheduler(arguments)
    assert config.get("core", "local_scheduler") == local
