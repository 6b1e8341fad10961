#!/bin/bash
# Makes a release below DIST (dist/release): every RPM, built twice and compared byte for byte, as a dnf repository.
#
#   DIST/python3.9/ARCH/*.rpm, repodata/   a dnf repository for each Python, for any web server or an S3 bucket
#   DIST/eks-proxy-agent.repo              for /etc/yum.repos.d, once its baseurl is set
#   DIST/*.cdx.json                        a CycloneDX SBOM for each Python
#   DIST/SHA256SUMS                        of all these files
#
#   PYTHONS='3.9 3.12'   the Pythons; one that this machine lacks is an error
#   ARCHES=x86_64        the architectures; another one than this machine's is built by `make rpm ARCH=`
#   SIGN=KEY             sign packages, repositories and SHA256SUMS with this key of GnuPG
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' agent/__init__.py)
read -ra pythons <<<"${PYTHONS:-3.9 3.12}"
read -ra arches <<<"${ARCHES:-$(uname -m)}"

changes=$(git status --porcelain) || die "not a git repository: a release is made from a commit"
[ -z "$changes" ] || die "uncommitted changes: commit or stash them, and make the release again"$'\n'"$changes"
grep -qF "## [$version]" CHANGELOG.md ||
    die "CHANGELOG.md has no section \"## [$version]\"; agent/__init__.py has that version"
for python in "${pythons[@]}"; do
    packaging/setup.sh has "$python" || die "PYTHONS: no Python $python on this machine"
done
for tool in createrepo_c ${SIGN:+rpmsign gpg}; do
    command -v "$tool" >/dev/null || die "$tool is missing; its package has the same name, or is rpm-sign or gnupg2"
done

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
dist=${DIST:-dist/release}
[ ! -e "$dist" ] || die "$dist exists; remove it, or choose another DIST"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # build PYTHON ARCH DIRECTORY
    make rpm "PYTHON=$1" "DIST=$3" ${2:+$([ "$2" = "$(uname -m)" ] || echo "ARCH=$2")} >"$work/log" 2>&1 || {
        tail -n 20 "$work/log" >&2
        die "make rpm PYTHON=$1 failed for $2; the end of its output is above"
    }
}

for python in "${pythons[@]}"; do
    for arch in "${arches[@]}"; do
        repository=$work/release/python$python/$arch
        for number in 1 2; do
            echo "eks-proxy-agent $version for Python $python on $arch, build $number of 2" >&2
            build "$python" "$arch" "$work/$python-$arch-$number"
        done
        diff -r "$work/$python-$arch-1" "$work/$python-$arch-2" || die "two builds for Python $python on $arch differ"
        mkdir -p "$repository"
        mv "$work/$python-$arch-1"/*.rpm "$repository"
        [ -z "${SIGN:-}" ] || rpmsign --define "_gpg_name $SIGN" --define "__gpg $(command -v gpg)" --addsign "$repository"/*.rpm >/dev/null
        createrepo_c --quiet --no-database --revision "$SOURCE_DATE_EPOCH" --set-timestamp-to-revision "$repository"
        [ -z "${SIGN:-}" ] || gpg --batch --yes --local-user "$SIGN" --armor --detach-sign "$repository/repodata/repomd.xml"
    done
    python3 -I packaging/sbom.py "packaging/locks/python$python.txt" "$version" \
        >"$work/release/eks-proxy-agent-$version-python$python.cdx.json"
done

if [ -n "${SIGN:-}" ]; then
    gpg --batch --armor --export "$SIGN" >"$work/release/eks-proxy-agent.asc"
fi
cat >"$work/release/eks-proxy-agent.repo" <<EOF
# For /etc/yum.repos.d.  Replace https://REPOSITORY by the address of this directory, such as that of an S3 bucket in the
# region of the nodes; Amazon Linux 2023 and EL 9 have Python 3.9, EL 10 has 3.12.
[eks-proxy-agent]
name=eks-proxy-agent
baseurl=https://REPOSITORY/python3.9/\$basearch
enabled=1
gpgcheck=$([ -n "${SIGN:-}" ] && echo 1 || echo 0)
repo_gpgcheck=$([ -n "${SIGN:-}" ] && echo 1 || echo 0)
gpgkey=https://REPOSITORY/eks-proxy-agent.asc
EOF
(cd "$work/release" && find . -type f -printf '%P\n' | sort | xargs -d '\n' sha256sum >"$work/SHA256SUMS")
mv "$work/SHA256SUMS" "$work/release"
[ -z "${SIGN:-}" ] || gpg --batch --yes --local-user "$SIGN" --armor --detach-sign "$work/release/SHA256SUMS"
mkdir -p "$(dirname "$dist")"
cp -r "$work/release" "$dist"
(cd "$dist" && sha256sum --check --quiet SHA256SUMS)
find "$dist" -type f -name '*.rpm' -o -name SHA256SUMS | sort
