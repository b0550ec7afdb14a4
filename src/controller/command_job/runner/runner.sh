# The detached runner: takes the lock, then the ticket, runs the command, publishes the exit mark. Descriptor 9 is its own file, $1,
# under flock. What is needed at the end is held open (5 and 8 are the lock, 6 and 7 the streams, 3 is written to in order to see whether
# the disk is full): a command may empty any directory.
trap "" HUP INT QUIT TERM USR1 USR2 ALRM PIPE
lg_f=@FILES@ lg_a=${1%/*} lg_h=$1 lg_k=${1##*/} lg_p=$2 lg_j=
shift 2
command -v setsid && lg_j=-
@COMMON@
lg_done() { set -- "$lg_a"/exit.*; [ -e "$1" ]; }
lg_started() { shift 19; lg_y=$1; }
lg_reason() {
  lg_r= lg_g=
  [ ! -f "$lg_f.cancel" ] || read -r lg_r lg_g <"$lg_f.cancel"
  case $lg_r in "" | late | *[!a-z]*) lg_r=cancel ;; esac
  case $lg_g in "" | *[!0-9]*) lg_g=@GRACE@ ;; esac
}
# Kills whatever carries the attempt's mark in its environment, daemons included, until a round finds none.
lg_sweep() {
  for lg_w in 1 2 3 4 5; do
    set -- $(grep -ls "LG_ID=@ID@" /proc/[0-9]*/environ)
    [ $# -gt 0 ] || return
    for lg_x; do lg_x=${lg_x#/proc/}; kill -s KILL "${lg_x%/*}"; done
  done
}
# Fails where not a single block of the disk is free: what the command wrote then is lost. By the descriptor, because a command may put
# a pipe in the place of any file.
lg_probe() {
  printf "" >/proc/self/fd/3 || return 0
  printf p >/proc/self/fd/3
  set -- $?
  printf "" >/proc/self/fd/3
  return $1
}

read -r lg_x <"/proc/$$/stat" || exit
lg_started ${lg_x##*") "}
read -r lg_o </proc/sys/kernel/random/boot_id || lg_o=-
lg_now
lg_0=$lg_t lg_m="$$ $lg_y $lg_o $lg_t"
# A tombstone in place of the identity: the lock is taken, so that nothing ever starts, and nothing is started.
[ "$(date +%s)" -le @START_BY@ ] || lg_m="0 late"
[ ! -e "$lg_f.cancel" ] || { lg_reason; lg_m="0 $lg_r"; }
# at: runner-before-identity
printf "%s\n" "$lg_m" >&9 || exit
# at: runner-before-link
ln "$lg_h" "$lg_a/lock" || (set -C; printf "%s\n" "$lg_m" >"$lg_a/lock")
read -r lg_x <"$lg_a/lock"
[ "$lg_x" = "$lg_m" ] || { rm -f "$lg_h"; exit; }
# Where links are refused, the lock is a file of its own.
[ "$lg_h" -ef "$lg_a/lock" ] || { lg_h=$lg_a/lock; exec 9>>"$lg_h"; flock -n 9; }
# at: runner-after-link
case $lg_m in "0 "*) mv "$lg_f.sh" "$lg_f.void"; exit ;; esac
# A ticket is there once, whatever became of the locks of others. Without it nothing is started, and no trace stays of the try.
mv "$lg_f.sh" "$lg_f.$lg_k" || { rm -f "$lg_a/lock" "$lg_h"; exit; }
# at: runner-after-ticket
lg_s=$lg_f.$lg_k
mv "$lg_s" "$lg_a/sh" && lg_s=$lg_a/sh
exec 5>>"$lg_h" 8<"$lg_h"
if printf "" >"$lg_a/p"; then exec 3<"$lg_a/p"; else exec 3<&-; fi

# The watcher: deadline and cancel file. It wakes at once when the runner is gone.
(
  # Waits $1 centiseconds; fails as soon as the runner is gone.
  lg_wait() {
    # A command may stop its runner, and remove the lock.
    lg_alive $$ "$lg_y" && kill -s CONT $$
    lg_restore
    lg_seconds "$1"
    lg_w=$lg_x
    if command -v flock; then
      flock -s -w $lg_w 8
      [ $? != 1 ] || return 0
      lg_done && return 1
    fi
    lg_alive $$ "$lg_y" || return 1
    sleep $lg_w || sleep 1
    lg_alive $$ "$lg_y"
  }
  lg_restore() {
    [ -r /proc/self/fd/8 ] || chmod 600 /proc/self/fd/8
    [ "$lg_a/lock" -ef /proc/self/fd/8 ] && return
    mkdir -p -m 700 "$lg_a"
    cat </proc/self/fd/8 >"$lg_a/l.$$" && mv -f "$lg_a/l.$$" "$lg_a/lock"
  }
  # A runner that died without an exit mark makes the attempt lost: what is lost does not go on running. More than once,
  # because the command may have been on its way and bear no mark yet.
  lg_gone() {
    lg_done && exit
    lg_restore
    for lg_n in 1 2 3 4 5 6; do lg_signal KILL; lg_sweep; sleep 0.3 || sleep 1; done
    exit
  }
  lg_signal() { lg_read /proc/self/fd/8; lg_alive "$lg_b" "$lg_z" && kill -s "$1" -- "$lg_j$lg_b"; }
  lg_i=
  while :; do
    [ -n "$lg_i" ] || lg_probe || { lg_i=1; printf "f\n" >&5; }
    if [ -e "$lg_f.cancel" ]; then lg_reason; break; fi
    lg_n=100
    if [ @TIMEOUT@ -gt 0 ]; then
      lg_now
      lg_n=$((lg_0 + @TIMEOUT@ * 100 - lg_t))
      if [ $lg_n -le 0 ]; then lg_r=timeout lg_g=@GRACE@; break; fi
      [ $lg_n -lt 100 ] || lg_n=100
    fi
    lg_wait $lg_n || lg_gone
  done
  lg_done && exit
  # Why comes before the first signal.
  printf "k %s\n" "$lg_r" >&5
  lg_n=0
  until lg_read /proc/self/fd/8; [ -n "$lg_d" ] || [ $lg_n -ge 20 ]; do lg_wait 5 || lg_gone; lg_n=$((lg_n + 1)); done
  lg_signal TERM
  lg_now
  lg_n=$((lg_t + lg_g * 100))
  while [ $lg_t -lt $lg_n ]; do lg_wait 100 || lg_gone; lg_now; done
  while :; do lg_signal KILL; lg_sweep; lg_wait 100 || lg_gone; done
) </dev/null >/dev/null 2>&1 9>&- &

lg_c=2 lg_set=
if printf "" >>"$lg_a/out" && printf "" >>"$lg_a/err"; then
  # Whatever fills the disk, there are blocks for what is printed first, such as the messages about it. The lengths stay.
  fallocate -n -l @RESERVED@ "$lg_a/err" && fallocate -n -l @RESERVED@ "$lg_a/out" && lg_set=1
  exec 6<"$lg_a/err" 7<"$lg_a/out"
  # In the foreground: a shell makes its background children ignore SIGINT and SIGQUIT, and some cannot undo it.
  (
    trap - HUP INT QUIT TERM USR1 USR2 ALRM PIPE
    unset LG_RUN
    exec 3<&- 5>&- 6<&- 7<&- 8<&-
    @OPEN@
    # at: runner-before-command
    if [ -n "$lg_j" ]; then exec setsid /bin/sh -c "$lg_p" lifeguard "$@" "$lg_s"; fi
    exec /bin/sh -c "$lg_p" lifeguard "$@" "$lg_s"
  ) <@STDIN@ >>"$lg_a/out" 2>>"$lg_a/err"
  lg_c=$?
fi
lg_now
lg_1=$lg_t
# at: runner-before-exit
# A command may have closed, or emptied, even what is held open. That nothing was executed is only said where it is certain.
for lg_x in 6 7 8; do [ -r /proc/self/fd/$lg_x ] && [ -w /proc/self/fd/$lg_x ] || chmod 600 /proc/self/fd/$lg_x; done
lg_x=
read -r lg_x </proc/self/fd/8
lg_n=$lg_x
lg_read /proc/self/fd/8
[ -n "$lg_d" ] || [ "$lg_n" != "$lg_m" ] || lg_c=-
if [ "$lg_r" != - ]; then
  [ -n "$lg_j" ] && kill -s KILL -- "-$lg_b"
  lg_sweep
fi
# lg_n: the length of stream $1, which is open as $2. Where the command removed, moved or replaced its file, it is written again.
lg_keep() {
  lg_n=$(wc -c <"/proc/self/fd/$2")
  lg_n=$((${lg_n:-0}))
  [ "$lg_a/$1" -ef "/proc/self/fd/$2" ] || { rm -rf "$lg_a/$1"; [ $lg_n -gt @KEPT@ ] || cat <"/proc/self/fd/$2" >"$lg_a/$1"; }
}
lg_probe || lg_full=1
# A length with a _ is the least: the disk was full, and the stream went beyond what was set aside for it.
lg_least() {
  [ -z "$lg_full" ] || { [ -n "$lg_set" ] && [ "$lg_n" -lt @RESERVED@ ]; } || lg_n=${lg_n}_
}
[ -d "$lg_a" ] || { rm -rf "$lg_a"; mkdir -p -m 700 "$lg_a"; }
[ -w "$lg_a" ] && [ -x "$lg_a" ] || chmod 700 "$lg_a"
lg_keep err 6; lg_least; lg_m=$lg_n
lg_keep out 7; lg_least
lg_x=exit.$lg_c.$lg_0.$lg_1.$lg_r.$lg_n.$lg_m
mv "$lg_h" "$lg_a/$lg_x" || printf "" >"$lg_a/$lg_x"
# A command may have removed or closed even the directory that calls begin in. The mark is for listings, where answers get lost.
[ -w @ROOT@ ] && [ -x @ROOT@ ] || chmod u+rwx @ROOT@
mkdir -p -m 700 "$lg_f" && printf "" >"$lg_f/$lg_x"
