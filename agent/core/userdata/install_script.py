"""The shell part that installs the agent on an image without it.  Pure.

It is POSIX sh for Amazon Linux 2023: curl, rpm and coreutils are there, and `aws` as a rule.
cloud-final.service runs it, after nodeadm-config and before nodeadm-run, which starts containerd
and kubelet.  A script that fails is reported by cloud-init, and the node boots on.
"""

from __future__ import annotations

from agent.core.cluster.facts import facts_of_settings
from agent.core.record import record
from agent.core.settings.schema import Settings
from agent.core.userdata.early import EarlyProxy
from agent.core.userdata.package import Package

#: The settings file of the script, after those of the package and of an image.
SETTINGS_FILE = "/etc/eks-proxy-agent/config.d/80-user-data.toml"

_HEAD = """\
#!/bin/sh
# Installs eks-proxy-agent on an image without it.  Made by: eks-proxy-agent user-data render
# It runs once per instance, before nodeadm-run.  If it fails, the node boots on without the agent.
set -eu
umask 022
package={url}
sha256={sha256}
routes={routes}
no_proxy={no_proxy}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
file=$directory/eks-proxy-agent.rpm

say() {{
    echo "eks-proxy-agent: $*" >&2
    logger -t eks-proxy-agent-install -- "$*" || :
}}

give_up() {{
    say "error: $*; the node boots on without the proxy settings of the agent"
    exit 1
}}

# behind ROUTE COMMAND...: run the command for at most two minutes, with a proxy or "direct"
behind() {{
    proxy=$1
    shift
    [ "$proxy" != direct ] || proxy=
    env http_proxy="$proxy" https_proxy="$proxy" HTTP_PROXY="$proxy" HTTPS_PROXY="$proxy" \\
        no_proxy="$no_proxy" NO_PROXY="$no_proxy" timeout 120 "$@"
}}
"""

#: curl(1), --config: in double quotes, a backslash escapes a quote and a backslash.
#: CURLOPT_PROXYUSERPWD(3): user and password are percent-decoded.
_WITH_CREDENTIALS = r"""
# The password reaches curl by a pipe: neither a command line nor a log has it.
fetch() {{
    {{ sed 's/%/%25/g; s/[\\"]/\\&/g; s/.*/proxy-user = "&"/; q' {path} || :; }} |
        behind "$1" curl --config - -fsSL --connect-timeout 10 -o "$file" "$package"
}}
"""

_PLAIN = """
fetch() {
    behind "$1" curl -fsSL --connect-timeout 10 -o "$file" "$package"
}
"""

_FROM_S3 = """
# By the VPC endpoint of S3, or through the proxy.  Without `aws` the bucket's policy has to allow it.
fetch() {{
    if command -v aws >/dev/null; then
        AWS_MAX_ATTEMPTS=1 behind "$1" aws s3 cp --region {region} --only-show-errors \\
            --cli-connect-timeout 10 --cli-read-timeout 30 "$package" "$file"
    else
        behind "$1" curl -fsSL --connect-timeout 10 -o "$file" {https}
    fi
}}
"""

_REST = """
download() {{
    for pause in 0 5 10 20; do
        sleep "$pause"
        for route in $routes; do
            if ! fetch "$route" </dev/null; then
                say "$package cannot be fetched (route: $route)"
            elif [ "$(sha256sum <"$file")" = "$sha256  -" ]; then
                return 0
            else
                say "$package has another sha256 than $sha256 (route: $route)"
            fi
        done
    done
    return 1
}}

download || give_up "the package is not installed: no download has the expected content"
name=$(rpm -qp "$file") || give_up "the package is not installed: rpm cannot read it"
if rpm -q --quiet "$name"; then
    say "$name is installed already"
elif rpm -U "$file"; then
    say "$name is installed"
elif rpm -q --quiet eks-proxy-agent; then
    say "rpm refuses $name, see above; the installed version stays"
else
    give_up "rpm refuses $name, see above"
fi
{settings}
systemctl start eks-proxy-agent || give_up "it is installed, but does not start: journalctl -u eks-proxy-agent"
{bootstrap}# What already ran has no proxy yet.
eks-proxy-agent apply --restart || say "warning: apply --restart failed, see above"
say "done"
"""

_SETTINGS = """
settings={file}
cat >"$settings.new" <<'EOF' || give_up "it is installed, but $settings cannot be written"
{text}EOF
mv "$settings.new" "$settings"
"""

_BOOTSTRAP = """\
systemctl start --no-block eks-proxy-agent-bootstrap || say "warning: eks-proxy-agent-bootstrap does not start"
"""


@record
class Installation:
    """Package, settings and units of one script.

    `settings` is the TOML that it writes, "" if the settings are a part of their own.
    `credentials_file`: of the proxy, if the image has it.  `with_bootstrap`: it starts the unit
    that runs bootstrap.sh and signals CloudFormation.
    """

    package: Package
    early: EarlyProxy
    settings: str = ""
    credentials_file: str = ""
    with_bootstrap: bool = False


def install_script(installation: Installation) -> str:
    """Return the script."""
    package, early = installation.package, installation.early
    proxies = " ".join(map(str, early.http if package.url.startswith("http://") else early.https))
    head = _HEAD.format(
        url=_word(package.url),
        sha256=package.sha256,
        routes=_word(f"direct {proxies}" if package.is_in_s3 else proxies),
        no_proxy=_word(early.no_proxy),
    )
    text = installation.settings
    return (
        head
        + _fetch(installation)
        + _REST.format(
            settings=_SETTINGS.format(file=SETTINGS_FILE, text=text) if text else "",
            bootstrap=_BOOTSTRAP if installation.with_bootstrap else "",
        )
    )


def _word(text: str) -> str:
    """Return a text as one word of the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fetch(installation: Installation) -> str:
    package = installation.package
    if package.is_in_s3:
        return _FROM_S3.format(region=package.region, https=_word(_https_of(package)))
    if installation.credentials_file:
        return _WITH_CREDENTIALS.format(path=_word(installation.credentials_file))
    return _PLAIN


def _https_of(package: Package) -> str:
    """Return the URL of an object by path: no certificate fits a bucket with a dot."""
    bucket, key = package.bucket_and_key
    return f"https://s3.{package.region}.{facts_of_settings(Settings(), package.region).domain}/{bucket}/{key}"
