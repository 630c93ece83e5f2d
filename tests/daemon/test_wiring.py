"""What is configured of a model reaches its worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config import Config, Log, Model
from daemon.errors import ConfigError
from daemon.paths import Home
from daemon.wiring import _journal, _spec
from engines.spec import ModelSpec


def test_every_setting_of_a_model_reaches_its_worker(tmp_path: Path) -> None:
    """A setting that is only read helps nobody."""
    model = Model(
        name="coder",
        path=tmp_path / "coder.gguf",
        context=4096,
        sequences=7,
        kv_type="q8_0",
        gpu_layers=3,
        threads=2,
        quantum_ms=25,
        reuse_shifted=False,
    )
    spec = _spec(model, Home(tmp_path, tmp_path, tmp_path))
    settings = set(Model.model_fields) & set(ModelSpec.__struct_fields__)
    assert {name: str(getattr(spec, name)) for name in settings} == {
        name: str(getattr(model, name)) for name in settings
    }
    assert {"quantum_ms", "reuse_shifted", "kv_type"} <= settings


def test_a_journal_that_cannot_be_written_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    """One line that names the setting, and no traceback."""
    with pytest.raises(ConfigError, match=r"\[log\] journal = .*cannot be written: No such file"):
        _journal(Config(log=Log(journal=tmp_path / "missing" / "j.jsonl")))
