"""An interactive zsh in a terminal that writes down what it would complete."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

#: Seconds for a start with compinit, and for a completion, on a busy machine.
LIMIT = 60.0

# `compadd` is the builtin that every completion ends in.  With -O, -A or -D it only filters for the
# caller; otherwise its matches are noted.
_SETTINGS = """\
PS1='' PS2='' HISTFILE=''
unsetopt zle_bracketed_paste prompt_cr prompt_sp 2>/dev/null
setopt no_beep
fpath=({functions} $fpath)
autoload -Uz compinit
compinit -u -d {directory}/dump
compadd() {{
    local -a hits options
    options=("${{(@)@[1,(i)(-|--)]}}")
    if (( ${{options[(I)-[a-zA-Z]#[OAD]*]}} )); then
        builtin compadd "$@"
        return
    fi
    builtin compadd -O hits "$@"
    matches+=("${{hits[@]}}")
    builtin compadd "$@"
}}
typeset -ga matches
_note() {{
    matches=()
    _main_complete
    print -rl -- $matches >{directory}/new
    mv {directory}/new {directory}/result
}}
zle -C note list-choices _note
bindkey -e
bindkey '^I' note
print -r -- ready >{directory}/result
"""


class Zsh:
    """A zsh with the functions of a directory; use it in a `with` block."""

    def __init__(self, functions: Path, working: Path) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="zsh-"))
        self._result = self._directory / "result"
        (self._directory / ".zshrc").write_text(_SETTINGS.format(functions=functions, directory=self._directory))
        self._master, terminal = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "ZDOTDIR": str(self._directory), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        self._process = subprocess.Popen(
            ["zsh", "-o", "no_global_rcs", "-i"],
            stdin=terminal,
            stdout=subprocess.DEVNULL,
            stderr=terminal,
            cwd=working,
            env=environment,
            start_new_session=True,
        )
        os.close(terminal)
        os.set_blocking(self._master, False)

    def __enter__(self) -> Zsh:
        self._wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)
        shutil.rmtree(self._directory)

    def complete(self, line: str) -> list[str]:
        """Return the completions at the end of a line, sorted; then empty the line."""
        self._result.unlink(missing_ok=True)
        os.write(self._master, f"{line}\t".encode())
        words = self._wait()
        os.write(self._master, b"\x15")
        return sorted(set(words))

    def _wait(self) -> list[str]:
        """Return the lines of the next result; empty the terminal meanwhile, or zsh would block."""
        output, deadline = b"", time.monotonic() + LIMIT
        while not self._result.exists():
            try:
                output += os.read(self._master, 65536)
            except (BlockingIOError, OSError):
                time.sleep(0.01)
            assert time.monotonic() < deadline, f"zsh did not complete: {output.decode(errors='replace')}"
        return [word for word in self._result.read_text().splitlines() if word]
