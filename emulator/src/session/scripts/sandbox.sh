# Prepares the view of the machine that all sessions share, and then holds it.
#
# Runs as root of the outer user namespace, as PID 1 of a process namespace that encloses every session, with the folder
# of all sessions as its working directory. Arguments: directories that no session may see.
# Standard output is a socket: "ready" goes out; when the emulator is gone, however it ended, it reads end of file here,
# and the end of PID 1 takes every process of every session along.
set -e
umask 022
resolver=
if [ -r /etc/resolv.conf ]; then resolver=$(cat /etc/resolv.conf); fi

mount -n -t tmpfs -o mode=755 emulator /mnt
mkdir /mnt/data /mnt/dev
# By the working directory, because its parents need not be open to the user that sessions run as.
mount -n -c --bind . /mnt/data
cd /

mount -n -t tmpfs -o mode=755,nosuid emulator /mnt/dev
mkdir /mnt/dev/shm
for node in null zero full random urandom; do
    : >"/mnt/dev/$node"
    mount -n --bind "/dev/$node" "/mnt/dev/$node"
done
ln -s /proc/self/fd /mnt/dev/fd
ln -s fd/0 /mnt/dev/stdin
ln -s fd/1 /mnt/dev/stdout
ln -s fd/2 /mnt/dev/stderr

# Every file system of the machine becomes read-only, and is covered where that is refused. /proc stays as it is: each
# session mounts its own, which the kernel allows only beside one that nothing is mounted over.
while read -r _ _ _ _ point _; do
    point=$(printf %b "$point")
    case $point in
    /proc | /proc/* | /mnt | /mnt/* | /dev | /dev/*) continue ;;
    esac
    if [ ! -e "$point" ]; then continue; fi
    if mount -n -o remount,bind,ro "$point" 2>/dev/null; then continue; fi
    if [ -d "$point" ]; then
        mount -n -t tmpfs -o ro,mode=755 emulator "$point"
    else
        mount -n --bind /dev/null "$point"
    fi
done </proc/self/mountinfo

mount -n --move /mnt/dev /dev
mount -n -o remount,bind,ro /dev
rmdir /mnt/dev
mount -n -o remount,bind,ro /mnt

# /run holds the sockets of the machine's services; name resolution may have its configuration there.
if [ -d /run ]; then
    target=$(readlink -f /etc/resolv.conf) || target=
    mount -n -t tmpfs -o mode=755 emulator /run
    case $target in
    /run/*)
        mkdir -p "${target%/*}"
        printf '%s\n' "$resolver" >"$target"
        ;;
    esac
    mount -n -o remount,bind,ro /run
fi
for hidden in "$@"; do
    if [ -d "$hidden" ]; then mount -n -t tmpfs -o ro,mode=755 emulator "$hidden"; fi
done

echo ready
# The shell waits, so that it reaps what is orphaned.
while :; do
    cat <&1 >/dev/null &
    watcher=$!
    outcome=0
    while kill -0 "$watcher" 2>/dev/null; do
        if wait "$watcher"; then outcome=0; else outcome=$?; fi
    done
    if [ "$outcome" = 0 ]; then exit 0; fi
done
