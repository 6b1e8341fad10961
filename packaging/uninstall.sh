#!/bin/bash
# Removes what install.sh installed below DESTDIR.  On the running system (CONFIRM=/) it first reverts what the agent
# changed, as erasing the RPM does, and stops and disables its units.  Changed settings are kept, and so is the directory
# of the textfile collector: others use it too, and a container may have mounted it.
set -euo pipefail
cd "$(dirname "$0")/.."

root=${DESTDIR:-}
root=${root%/}
if [ -z "$root" ]; then
    [ "${CONFIRM:-}" = / ] || {
        echo 'error: without DESTDIR this changes the running system; confirm with CONFIRM=/' >&2
        exit 1
    }
    systemctl stop eks-proxy-agent-bootstrap.service || true
    /usr/bin/eks-proxy-agent revert # or docker may wait for an agent that does not exist
    systemctl disable --now eks-proxy-agent.service eks-proxy-agent-bootstrap.service || true
fi
rm -rf "$root/usr/lib/eks-proxy-agent" "$root/usr/bin/eks-proxy-agent" \
    "$root/usr/lib/systemd/system/eks-proxy-agent.service" "$root/usr/lib/systemd/system/eks-proxy-agent-bootstrap.service" \
    "$root/usr/lib/systemd/system-preset/90-eks-proxy-agent.preset" \
    "$root/usr/share/man/man8/eks-proxy-agent.8" "$root/usr/share/man/man5/eks-proxy-agent.toml.5" \
    "$root/usr/share/bash-completion/completions/eks-proxy-agent" "$root/usr/share/zsh/site-functions/_eks-proxy-agent"
settings=$root/etc/eks-proxy-agent
if cmp -s packaging/config.toml "$settings/config.toml"; then
    rm "$settings/config.toml"
elif [ -e "$settings/config.toml" ]; then
    echo "kept: $settings/config.toml" >&2
fi
rmdir "$settings/config.d" "$settings" 2>/dev/null || true
[ -n "$root" ] || systemctl daemon-reload
