from __future__ import annotations

import pytest

from pidscope.cli import main


@pytest.mark.parametrize("command", ["ps", "ns", "lookup", "explain", "limits"])
def test_help_has_examples_and_fits(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert ("exit status:" in text) == (command not in ("ps", "ns"))
    assert max(map(len, text.split("\n"))) < 80
