"""The programs in docs/service.md run as printed."""

import re
from pathlib import Path

from appid_manager_client import server

TEXT = Path(__file__, "../../../docs/service.md").resolve().read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_two_programs():
    assert len(PROGRAMS) == 2


def test_the_program_that_serves_runs(monkeypatch):
    served = []
    monkeypatch.setattr(server, "serve", served.append, raising=False)
    exec(PROGRAMS[0], {})
    assert [settings.port for settings in served] == [5000]


def test_the_program_with_a_local_service_runs(capsys):
    exec(PROGRAMS[1], {})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("http://127.0.0.1:")
    assert "'total': 0" in shown[1]


def test_every_setting_is_documented():
    for name in server.ServiceSettings.__dataclass_fields__:
        assert f"| `{name}` |" in TEXT
