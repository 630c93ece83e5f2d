"""config.example.toml shows every setting, with its true default."""

import re
import tomllib
from pathlib import Path

from daemon.config import (
    Chain,
    Completion,
    Config,
    Limits,
    Log,
    Memory,
    Model,
    Scheduling,
    Server,
    load_config,
)

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
SECTIONS = {
    "server": Server,
    "memory": Memory,
    "limits": Limits,
    "scheduling": Scheduling,
    "completion": Completion,
    "log": Log,
}


def uncommented(tmp_path: Path) -> Path:
    """The file with every commented setting switched on."""
    text = EXAMPLE.read_text("utf-8")
    target = tmp_path / "config.toml"
    target.write_text(re.sub(r"(?m)^# (?=\[\[|\w+ = )", "", text))
    return target


def test_as_it_stands_it_is_the_default() -> None:
    assert load_config(EXAMPLE) == Config()


def test_every_setting_is_in_it_and_is_accepted(tmp_path: Path) -> None:
    everything = uncommented(tmp_path)
    load_config(everything)
    shown = tomllib.loads(everything.read_text("utf-8"))
    for name, section in SECTIONS.items():
        assert set(shown[name]) == set(section.model_fields), name
    assert set(shown["model"][0]) == set(Model.model_fields)
    assert set(shown["chain"][0]) == set(Chain.model_fields)
