"""Keys and their like are never context."""

import pytest

from daemon.config import Completion
from daemon.exclusion import exclusion


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/me/project/.env", True),
        ("/home/me/project/.env.production", True),
        ("/home/me/.ssh/id_ed25519", True),
        ("/srv/SERVER.PEM", True),
        ("/srv/secrets.yaml", True),
        ("/home/me/.ssh/config.py", True),
        ("/home/me/.netrc", True),
        ("/home/me/id_service/src/a.py", False),
        ("/home/me/secrets-manager/src/a.py", False),
        ("/home/me/project/credentials.py", False),
        ("/home/me/project/app.py", False),
        ("/home/me/project/environment.py", False),
        ("/home/me/project/identity.py", False),
    ],
)
def test_the_defaults(path: str, expected: bool) -> None:
    assert exclusion(Completion().exclude)(path) is expected


def test_a_glob_with_a_slash_is_for_whole_paths() -> None:
    excluded = exclusion(["*/private/*.py"])
    assert excluded("/a/private/b.py")
    assert not excluded("/a/private.py")
