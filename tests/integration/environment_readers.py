"""The real readers of /etc/environment: systemd, pam_env, sh, bash and `systemd --user`.

None of them needs PID 1.  Each takes the path of the file and a directory for its own files.
"""

import ctypes
import glob
import os
import shlex
import subprocess
from ctypes import POINTER, byref, c_char_p, c_int, c_void_p

GENERATOR = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"
Strings = POINTER(c_char_p)


def strings(array):
    """Return a NULL-terminated array of C strings NAME=VALUE as a dict."""
    values = {}
    for item in array:
        if item is None:
            break
        name, _, value = item.decode(errors="surrogateescape").partition("=")
        values[name] = value
    return values


def systemd(path, directory):
    """Read like EnvironmentFile=: call the function of PID 1 in systemd's library.

    Raises OSError for a file that it rejects.
    """
    (library,) = glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so") + glob.glob(
        "/usr/lib*/systemd/libsystemd-shared-*.so"
    )
    load = ctypes.CDLL(library).load_env_file
    load.argtypes = [c_void_p, c_char_p, POINTER(Strings)]
    array = Strings()
    code = load(None, str(path).encode(), byref(array))
    if code:
        raise OSError(-code, os.strerror(-code))
    return strings(array) if array else {}


def pam_env(path, directory):
    """Read with pam_env.so in a PAM session, as sshd and login open one."""
    (directory / "pam_env.conf").write_text("")
    (directory / "agent-test").write_text(
        f"session required pam_env.so readenv=1 envfile={path} conffile={directory}/pam_env.conf user_readenv=0\n"
    )
    pam = ctypes.CDLL("libpam.so.0")
    pam.pam_start_confdir.argtypes = [c_char_p, c_char_p, c_void_p, c_char_p, POINTER(c_void_p)]
    pam.pam_open_session.argtypes = pam.pam_end.argtypes = [c_void_p, c_int]
    pam.pam_getenvlist.argtypes, pam.pam_getenvlist.restype = [c_void_p], Strings
    handle, conversation = c_void_p(), (c_void_p * 2)()
    assert pam.pam_start_confdir(b"agent-test", b"root", conversation, str(directory).encode(), byref(handle)) == 0
    try:
        assert pam.pam_open_session(handle, 0) == 0
        return strings(pam.pam_getenvlist(handle))
    finally:
        pam.pam_end(handle, 0)


def shell(name):
    """Return a reader: a shell that sources the file and exports its variables.

    It raises CalledProcessError for a syntax error.
    """

    def read(path, directory):
        run = [name, "-c", 'set -a; . "$0" >/dev/null 2>&1; exec /usr/bin/env -0', str(path)]
        output = subprocess.run(run, env={}, stdout=subprocess.PIPE, check=True).stdout
        return strings([item for item in output.split(b"\0") if item])

    return read


def systemd_user(path, directory):
    """Read like `systemd --user`: Debian and others link /etc/environment to environment.d.

    `$` is special there.
    """
    (directory / "environment.d").mkdir(exist_ok=True)
    (directory / "environment.d" / "99-environment.conf").write_bytes(path.read_bytes())
    run = {"XDG_CONFIG_HOME": str(directory), "HOME": str(directory)}
    output = subprocess.run([GENERATOR], env=run, stdout=subprocess.PIPE, check=True).stdout.decode()
    return strings([shlex.split(line)[0].encode() for line in output.splitlines() if line])


READERS = {
    "systemd": systemd,
    "pam_env": pam_env,
    "sh": shell("/bin/sh"),
    "bash": shell("/bin/bash"),
    "systemd --user": systemd_user,
}
NEEDED = {"systemd": "libsystemd-shared", "pam_env": "libpam with pam_start_confdir", "systemd --user": GENERATOR}
