#!/bin/sh
# Plugin of node-problem-detector: runs these groups of `eks-proxy-agent check`.
#
#   eks-proxy-agent.sh GROUP...
#
# Its exit code is that of the plugin protocol: 0 no problem, 1 a problem, 2 unknown.  It prints the failed checks.  The
# agent is on the host: in a container this enters the host's namespaces, which takes hostPID and privileged.
set -u

unknown() {
    echo "unknown: $1"
    exit 2
}

for group; do
    set -- "$@" --only "$group"
    shift
done
set -- eks-proxy-agent check "$@"
command -v eks-proxy-agent >/dev/null || set -- nsenter --target 1 --mount --net -- "$@"

output=$("$@" 2>&1)
code=$?
case $code in
    0)
        # Nothing failed either if nothing could be checked, for example because the settings are invalid.
        if ! printf '%s\n' "$output" | grep -Eq '^(ok|warn) '; then
            reason=$(printf '%s\n' "$output" | sed -n '/^skip  */{s///;s/  */ /g;p;q;}')
            unknown "nothing could be checked${reason:+: $reason}"
        fi
        echo "no problem found"
        exit 0
        ;;
    # Something failed, only files differ, the settings are invalid.
    1 | 3 | 78) ;;
    127) unknown "eks-proxy-agent is not installed on this node" ;;
    *) unknown "check ended with exit code $code" ;;
esac

set -f
problems=
while IFS= read -r line; do
    case $line in
        "fail "*)
            # shellcheck disable=SC2086 # splits, so that one blank is left between words
            set -- ${line#fail}
            problems="${problems:+$problems; }$*"
            ;;
    esac
done <<END
$output
END
# An error of nsenter, or of the check itself, has exit code 1 too.
[ -n "$problems" ] || unknown "$output"
printf '%s\n' "$problems"
exit 1
