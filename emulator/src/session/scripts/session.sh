# Makes the mounts that are one session's own, then enters the namespaces in which the session runs.
#
# Runs as root of the outer user namespace in a mount namespace of its own. Arguments: the session's directory, "egress"
# or "isolated", and the text of init.sh. The inner user namespace has no power over anything mounted up to here.
mount -n -a -T "/mnt/data/$1/fstab" || exit 70
case $2 in
egress)
    exec unshare --user --map-user=1000 --map-group=1000 --mount --pid --ipc --uts \
        --fork --kill-child --mount-proc /bin/sh -c "$3"
    ;;
isolated)
    # Only while the loopback device is brought up, and low ports are opened to what serves them in a container, does PID 1
    # keep its power over the new network namespace.
    exec unshare --user --map-user=1000 --map-group=1000 --mount --pid --ipc --uts --net --keep-caps \
        --fork --kill-child --mount-proc /bin/sh -c \
        'ip link set lo up 2>/dev/null; { echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start; } 2>/dev/null
        exec setpriv --ambient-caps=-all --inh-caps=-all /bin/sh -c "$0"' "$3"
    ;;
esac
