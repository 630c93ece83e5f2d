"""What is configured of a model reaches its worker."""

from __future__ import annotations

from pathlib import Path

from daemon.config import Model
from daemon.paths import Home
from daemon.wiring import _spec
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
