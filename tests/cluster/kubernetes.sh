#!/bin/bash
# Prints a directory with kube-apiserver, kube-controller-manager, kube-scheduler, kubelet and kubectl 1.20.2, the last
# Kubernetes of the Docker era in Debian.  Debian packages only its kubectl, but its source package has all of it:
# compiled once (about 8 minutes on 2 cores, 2 GB of disk while it lasts), kept in the cache.  Progress on stderr.
#
#   kubernetes.sh          prints the directory, and fills it first when it is empty
#   kubernetes.sh status   prints it only when it is full, and exits 1 otherwise
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl)
# The recipe is part of the key: another recipe, another directory.
key=$(sha256sum "$(basename "$0")" | cut -c1-12)
directory=${XDG_CACHE_HOME:-$HOME/.cache}/eks-proxy-agent/kubernetes-1.20.2-$key

full() {
    local program
    for program in "${programs[@]}"; do
        [ -x "$directory/$program" ] || return 1
    done
}

if full || [ "${1:-}" = status ]; then
    full || exit 1
    echo "$directory"
    exit
fi

mkdir -p "${directory%/*}"
exec 9>"${directory%/*}/kubernetes.lock"
flock --nonblock 9 || {
    say "kubernetes: waiting for the one who is compiling it"
    flock 9
}
if full; then
    echo "$directory"
    exit
fi

clear() {
    chmod -R u+w "$@" # Go makes its caches read-only
    rm -rf "$@"
}
for left in "${directory%/*}"/kubernetes-build.*; do
    [ ! -d "$left" ] || clear "$left" # its compiler was killed: we have its lock
done
work=$(mktemp -d "${directory%/*}/kubernetes-build.XXXXXX")
trap 'clear "$work"' EXIT

# The machine's own sources with deb-src, of either form, in a directory of our own: nothing of the machine's apt is changed.
mkdir -p "$work/lists/partial" "$work/sources" "$work/tmp"
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    if [ -e "$list" ]; then sed -n 's/^deb[[:blank:]]/deb-src /p' "$list" >>"$work/sources/one.list"; fi
done
for list in /etc/apt/sources.list.d/*.sources; do
    if [ -e "$list" ]; then sed 's/^Types:.*/Types: deb-src/' "$list" >"$work/sources/${list##*/}"; fi
done
apt=(apt-get -q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/sources" -o "Dir::State::lists=$work/lists"
    -o APT::Sandbox::User=root)
say "kubernetes: downloading Debian's source package"
"${apt[@]}" update >&2 || say "kubernetes: some package sources did not answer, or have no deb-src"
(cd "$work" && "${apt[@]}" source --download-only kubernetes >&2)
dsc=("$work"/kubernetes_1.20*.dsc)
[ -e "${dsc[0]}" ] || die "Debian's source package kubernetes is not version 1.20 here: $(cd "$work" && echo *.dsc)"
dpkg-source --no-check -x "${dsc[0]}" "$work/tree" >&2

cd "$work/tree"
mkdir -p .go/src/k8s.io
ln -s ../../.. .go/src/k8s.io/kubernetes
for program in "${programs[@]}"; do
    say "kubernetes: compiling $program ($((SECONDS / 60)) min so far; about 8 in all on 2 cores)"
    # Debian's Go, not a newer one that may be first on the PATH.
    PATH=/usr/bin:/bin TMPDIR=$work/tmp GOPATH=$PWD/.go GOCACHE=$work/gocache GOFLAGS='' CGO_ENABLED=0 KUBE_GIT_VERSION=v1.20.2 KUBE_GIT_COMMIT=debian \
        KUBE_GIT_TREE_STATE=clean KUBE_BUILD_PLATFORMS="linux/$(dpkg --print-architecture)" \
        make WHAT="cmd/$program" >"$work/log" 2>&1 || {
        tail -40 "$work/log" >&2
        die "compiling $program failed"
    }
done
out=$(dirname "$(find "$PWD/_output" -type f -name kubelet -print -quit)")
mkdir -p "$directory"
for program in "${programs[@]}"; do
    install -m 0755 "$out/$program" "$directory/$program.new"
    mv "$directory/$program.new" "$directory/$program"
done
say "kubernetes: compiled in $((SECONDS / 60)) min $((SECONDS % 60)) s: $directory"
echo "$directory"
