# The detached runner: takes the lock, runs the command, publishes the exit mark. Descriptor 9 is its own file, $1, under flock.
trap "" HUP INT QUIT TERM USR1 USR2 ALRM PIPE
lg_a=@DIR@ lg_h=$1 lg_p=$2 lg_j=
shift 2
command -v setsid && lg_j=-
@COMMON@
lg_done() { set -- "$lg_a"/exit.*; [ -e "$1" ]; }
lg_started() { shift 19; lg_y=$1; }
lg_reason() {
  lg_r= lg_g=
  read -r lg_r lg_g <"$lg_a.cancel"
  case $lg_r in "" | late | *[!a-z]*) lg_r=cancel ;; esac
  case $lg_g in "" | *[!0-9]*) lg_g=@GRACE@ ;; esac
}
# Kills whatever carries the attempt's mark in its environment, daemons included, until a round finds none.
lg_sweep() {
  for lg_z in 1 2 3 4 5; do
    set -- $(grep -ls "LG_ID=@ID@" /proc/[0-9]*/environ)
    [ $# -gt 0 ] || return
    for lg_x; do lg_x=${lg_x#/proc/}; kill -s KILL "${lg_x%/*}"; done
  done
}

read -r lg_x <"/proc/$$/stat" || exit
lg_started ${lg_x##*") "}
read -r lg_o </proc/sys/kernel/random/boot_id || lg_o=-
lg_now
lg_0=$lg_t lg_m="$$ $lg_y $lg_o $lg_t"
# A tombstone in place of the identity: the lock is taken, so that nothing ever starts, and nothing is started.
[ "$(date +%s)" -le @START_BY@ ] || lg_m="0 late"
[ ! -e "$lg_a.cancel" ] || { lg_reason; lg_m="0 $lg_r"; }
# at: runner-before-identity
printf "%s\n" "$lg_m" >&9 || exit
# at: runner-before-link
ln "$lg_h" "$lg_a/lock" || (set -C; printf "%s\n" "$lg_m" >"$lg_a/lock")
read -r lg_x <"$lg_a/lock"
[ "$lg_x" = "$lg_m" ] || { rm -f "$lg_h"; exit; }
case $lg_m in "0 "*) exit ;; esac
# at: runner-after-link

# The watcher: deadline and cancel file. It wakes at once when the runner is gone.
(
  # Waits $1 centiseconds; fails as soon as the runner is gone.
  lg_wait() {
    lg_seconds "$1"
    lg_z=$lg_x
    if command -v flock; then
      flock -s -w $lg_z "$lg_a/lock" true
      [ $? != 1 ] || return 0
      lg_done && return 1
    fi
    lg_alive $$ "$lg_y" || return 1
    sleep $lg_z || sleep 1
    lg_alive $$ "$lg_y"
  }
  # A runner that died without an exit mark makes the attempt lost: what is lost does not go on running. More than once,
  # because the command may have been on its way and bear no mark yet.
  lg_gone() {
    lg_done && exit
    for lg_n in 1 2 3 4 5 6; do lg_signal KILL; lg_sweep; sleep 0.3 || sleep 1; done
    exit
  }
  lg_signal() { read -r lg_b lg_z <"$lg_a/c" && lg_alive "$lg_b" "$lg_z" && kill -s "$1" -- "$lg_j$lg_b"; }
  while :; do
    if [ -e "$lg_a.cancel" ]; then lg_reason; break; fi
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
  printf "%s\n" "$lg_r" >"$lg_a/cancel"
  lg_n=0
  until [ -e "$lg_a/c.t" ] || [ $lg_n -ge 20 ]; do lg_wait 5 || lg_gone; lg_n=$((lg_n + 1)); done
  lg_signal TERM
  lg_now
  lg_n=$((lg_t + lg_g * 100))
  while [ $lg_t -lt $lg_n ]; do lg_wait 100 || lg_gone; lg_now; done
  while :; do lg_signal KILL; lg_sweep; lg_wait 100 || lg_gone; done
) </dev/null >/dev/null 2>&1 9>&- &

# In the foreground: a shell makes its background children ignore SIGINT and SIGQUIT, and some cannot undo it.
(
  trap - HUP INT QUIT TERM USR1 USR2 ALRM PIPE
  exec 9>&-
  @OPEN_ENV@
  # at: runner-before-command
  if [ -n "$lg_j" ]; then exec setsid /bin/sh -c "$lg_p" lifeguard "$@"; fi
  exec /bin/sh -c "$lg_p" lifeguard "$@"
) <@STDIN@ >>"$lg_a/out" 2>>"$lg_a/err"
lg_c=$?
lg_now
lg_1=$lg_t lg_r=-
# at: runner-before-exit
if [ -e "$lg_a/cancel" ]; then
  read -r lg_r <"$lg_a/cancel" || lg_r=cancel
  read -r lg_b lg_z <"$lg_a/c" && [ -n "$lg_j" ] && kill -s KILL -- "-$lg_b"
  lg_sweep
fi
mv "$lg_h" "$lg_a/exit.$lg_c.$lg_0.$lg_1.$lg_r"
