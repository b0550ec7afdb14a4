# Empties the session for another command, where that is to be done: kills what was started since
# the first command, and then empties.
lg_left=-

# Whether nothing of another attempt lies here: then this call is late, or an earlier one was not cleaned up after.
lg_alone() {
  for lg_x in @ROOT@/lg-* @HIDDEN@; do
    case $lg_x in */@MARK_FILE@ | */lg-@ID@ | */lg-@ID@.* | */.lg-@ID@) continue ;; esac
    [ ! -e "$lg_x" ] || return 1
  done
}

# Kills each process that is not older than the session's first command, but for this call and those above it. Only built-in commands are
# used, so that what is started meanwhile is not ours; processes that are gone when they are looked at, and numbers that were given
# away, tell of what starts others as fast as they are killed.
lg_stray() {
  case $1 in Z | X) return 1 ;; esac
  [ $# -ge 20 ] || return 0
  shift 19
  [ "$1" -ge "${lg_base%%_*}" ]
}
lg_parent() { lg_y=$2; }
lg_round() {
  lg_z=
  read -r lg_x lg_x lg_x lg_x lg_b </proc/loadavg
  for lg_y in /proc/[0-9]*; do
    case $lg_o in *" ${lg_y#/proc/} "*) continue ;; esac
    read -r lg_x <"$lg_y/stat" || { lg_z=1; continue; }
    # A name of several lines hides the rest.
    case $lg_x in *") "*) lg_stray ${lg_x##*") "} || continue ;; esac
    kill -s KILL "${lg_y#/proc/}"
    lg_z=1
  done
  read -r lg_x lg_x lg_x lg_x lg_y </proc/loadavg
  [ "$lg_b" = "$lg_y" ] || lg_z=1
}
lg_quiet() {
  lg_o=" $$ " lg_y=$$
  while read -r lg_x <"/proc/$lg_y/stat"; do
    lg_parent ${lg_x##*") "}
    lg_o="$lg_o$lg_y "
  done
  # The runner may not have written all that it writes at its end.
  lg_i=0
  while [ $lg_i -lt 20 ] && grep -qs LG_RUN=@ID@ /proc/[0-9]*/environ; do lg_i=$((lg_i + 1)); sleep 0.05 || sleep 1; done
  lg_i=0 lg_j=0
  while [ $lg_i -lt 60 ]; do
    lg_i=$((lg_i + 1)) lg_j=$((lg_j + 1))
    lg_round
    [ -z "$lg_z" ] || { lg_j=0; sleep 0.05 || sleep 1; }
    [ $lg_j -lt 3 ] || return 0
  done
  return 1
}

# Whether the payload $1 is all of a stream of $2 bytes.
lg_fits() { case $1 in [=~]*) ;; *) [ "$2" = 0 ] ;; esac; }
lg_told() { lg_fits "$lg_u" "$lg_n" && lg_fits "$lg_v" "$lg_m"; }
lg_over() { [ "$lg_s" = ended ]; }
if [ "$lg_base" != - ] && @IS_TO_BE_EMPTIED@; then
  # at: caller-before-cleaning
  lg_left=used
  if @IS_ALONE@; then
    lg_left=processes
    # at: caller-before-killing
    if { lg_quiet; } 2>/dev/null; then
      # at: caller-before-emptying
      lg_left=$(timeout -s KILL 20 /bin/sh -c @EMPTY@ lifeguard "$lg_base" </dev/null 2>/dev/null)
      case $lg_left in fixed) lg_left=clean lg_base=${lg_base}_r ;; "") lg_left=unfinished ;; esac
    fi
  fi
fi
