#!/bin/bash
# Runs a command on the copy of a tree, for code that is wrong on purpose and runs as root: sandbox.sh COPY COMMAND ...
# It has no network and no other processes, can write only below COPY/scratch, /tmp and /run, and ends with the thread that starts it.
set -euo pipefail

if [ -z "${IN_SANDBOX:-}" ]; then
    export IN_SANDBOX=1
    exec setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private -- "$0" "$@"
fi

copy=$1
shift
cd "$copy"
ip link set lo up
mount --bind "$copy/scratch" "$copy/scratch" # a mount of its own stays writable
while read -r _ target _; do
    case "$target" in
        /proc | /proc/* | /sys | /sys/* | /dev | /dev/* | "$copy/scratch") ;;
        /) mount -o remount,bind,ro / ;;
        *) mount -o remount,bind,ro "$target" 2>/dev/null || umount -l "$target" ;;
    esac
done </proc/self/mounts
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=0755 tmpfs /run
exec "$@"
