#!/bin/bash
# Write the trees beside this script with the code of the current directory, a checkout with a .venv:
#   git worktree add /tmp/old 383b1c6; cd /tmp/old; packaging/setup.sh dev; BRANCH/tests/integration/golden_state/make.sh
# Requires root: the agent works on /, with a scratch tree mounted over /etc, /run and /var/lib, in separate namespaces.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
store=$(dirname "$here")/golden_tree.py
if [ "${1:-}" != inside ]; then
    for variant in node image; do
        unshare --mount --net --propagation private "$here/make.sh" inside "$variant"
    done
    exit
fi
variant=$2

# --- the tree before the agent, and the tools -----------------------------------------------------------------------

scratch=$(mktemp -d)
root=$scratch/root units=usr/lib/systemd/system
mkdir -p "$root"/{etc/eks,etc/eks-proxy-agent,etc/pki/ca-trust/source/anchors,run/systemd/system,$units,var/lib/node_exporter}
mkdir -p "$root"/etc/systemd/system/{docker.service.d,kubelet.service.d,multi-user.target.wants}
mkdir "$root/etc/dnf" "$scratch/bin"
chmod 700 "$root/etc/eks-proxy-agent"
cd "$root"
for name in docker kubelet; do
    printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' >$units/$name.service
done
ln -s /$units/kubelet.service etc/systemd/system/multi-user.target.wants/kubelet.service
ln -s dnf/dnf.conf etc/yum.conf
printf '#!/bin/sh\nexit 7\n' >etc/eks/bootstrap.sh
chmod 755 etc/eks/bootstrap.sh
echo 0123456789abcdef0123456789abcdef >etc/machine-id
echo 'alice:p@ss w:rd' >etc/proxy.pass
chmod 600 etc/proxy.pass
printf 'hosts: files\n' >etc/nsswitch.conf
printf '10.42.0.5 ec2.eu-central-1.amazonaws.com\n127.0.0.1 proxy.corp proxy2.corp\n' >etc/hosts
for number in 1 2; do
    openssl req -x509 -nodes -newkey rsa:2048 -subj "/CN=Corp Proxy CA $number" -days 36500 \
        -keyout /dev/null -out "$scratch/ca$number.pem" 2>/dev/null
done
cp "$scratch/ca1.pem" etc/corp.pem
cat >etc/eks-proxy-agent/config.toml <<END
[proxy]
url = ["http://proxy.corp:3128", "http://proxy2.corp:3128"]
credentials_file = "/etc/proxy.pass"
credentials_in_yum = true
[metadata]
endpoint = "http://127.0.0.1:1338"
[node]
units = ["docker", "kubelet"]
enable = ["docker"]
ca_bundle = "/etc/corp.pem"
[failure]
policy = "closed"
[watch]
restart = "changed"
END
if [ "$variant" = node ]; then # all files exist already
    printf '# for everyone\r\nLANG=C.UTF-8\nhttp_proxy=http://old:1\nEDITOR=vi' >etc/environment
    chmod 640 etc/environment
    printf '[main]\ngpgcheck = 1\nproxy=http://old:1\n\n[other]\nname=other\n' >etc/dnf/dnf.conf
    printf '[Service]\nEnvironmentFile=/etc/environment\n' >etc/systemd/system/docker.service.d/proxy.conf
    printf '[Service]\nEnvironment=MINE=1\n' >etc/systemd/system/kubelet.service.d/90-eks-proxy.conf
    chmod 600 etc/systemd/system/kubelet.service.d/90-eks-proxy.conf
    user_data='Content-Type: application/x-eks-proxy-agent\n\n[failure]\npolicy = \"open\"\n'
else # no file exists
    rmdir etc/systemd/system/{docker,kubelet}.service.d
    user_data=
fi
cd - >/dev/null
python3 "$store" "$root" "$here/$variant/before"

cat >"$scratch/bin/systemctl" <<END
#!/bin/sh
[ ! -e $scratch/broken ] || [ "\$1" != daemon-reload ] || exit 1
case "\$*" in
"show --value"*) ;;
show*)
    while [ "\$1" != -- ]; do shift; done
    shift
    for name; do
        active=inactive pid=0 enabled=disabled
        [ "\$name" != kubelet.service ] || { active=active pid=\$(cat $scratch/pid); }
        [ ! -L /etc/systemd/system/multi-user.target.wants/\$name ] || enabled=enabled
        printf 'LoadState=loaded\nUnitFileState=%s\nActiveState=%s\nMainPID=%s\n\n' \$enabled \$active \$pid
    done ;;
"--no-reload enable -- "*) exec /usr/bin/systemctl --root=$root enable -- "\$4" ;;
--root=*) exec /usr/bin/systemctl "\$@" ;;
esac
END
printf '#!/bin/sh\n[ ! -e %s/broken ]\n' "$scratch" >"$scratch/bin/update-ca-trust"
chmod 755 "$scratch"/bin/*
instance='{"instance_id": "i-0123456789abcdef0", "vpc_cidrs_v4": ["10.42.0.0/16"], "user_data": "'$user_data'"}'
echo "$instance" >"$scratch/instance.json"

# --- the agent on it ------------------------------------------------------------------------------------------------

export PYTHONDONTWRITEBYTECODE=1
python=$PWD/.venv/bin/python
ip link set lo up
ip address add 10.42.0.5/32 dev lo
env -i LANG=C sleep 1000 &
echo $! >"$scratch/pid"
"$python" -c 'import socket, time; s = socket.create_server(("10.42.0.5", 443)); time.sleep(1000)' &
"$python" -m agent demo --serve 127.0.0.1:1338 --instance "$scratch/instance.json" &
trap 'kill $(jobs -p); rm -rf "$scratch"' EXIT
[ "$variant" != image ] || "$python" -m agent bake --root "$root"
for directory in etc run var/lib; do mount -n --bind "$root/$directory" /$directory; done
mount -n --bind "$scratch/bin" /usr/local/sbin # the first directory of the agent's PATH

daemon() { # a boot and one more reconcile
    "$python" - <<'END'
import os, signal, socket, subprocess, sys
notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notifications.bind("/run/notify")
notifications.settimeout(60)

def wait_for(message):
    while message not in notifications.recv(65536).decode().splitlines():
        pass

daemon = subprocess.Popen([sys.executable, "-m", "agent", "run"], env={**os.environ, "NOTIFY_SOCKET": "/run/notify"})
wait_for("READY=1")
daemon.send_signal(signal.SIGHUP)
wait_for("RELOADING=1")
wait_for("READY=1")
daemon.terminate()
assert daemon.wait(60) == 0
os.unlink("/run/notify")
END
}

until "$python" -c 'import socket; socket.create_connection(("127.0.0.1", 1338))' 2>/dev/null; do sleep 0.1; done
"$python" -m agent apply --set 'proxy.no_proxy=["nexus.corp"]'
"$python" -m agent bootstrap -- my-cluster || [ $? = 7 ]
if [ "$variant" = image ]; then # the commands after the next two changes fail
    cp "$scratch/ca2.pem" /etc/corp.pem
    rm /etc/systemd/system/docker.service.d/90-eks-proxy.conf
    touch "$scratch/broken"
fi
daemon
umount -n /etc /run /var/lib
rm -f "$scratch/broken"
python3 "$store" "$root" "$here/$variant/after"
[ "$variant" != image ] || cp "$scratch/ca2.pem" "$here/$variant/before/files/etc/corp.pem" # a file of the operator, not of the agent
