# What the session is before its first command: when this call began (in clock ticks since boot, and by the clock), the mounts, the home
# directory. Once a command may have begun it is not to be known any more.
@STATE@
lg_began() { shift 19; lg_y=$1; }
lg_base=@BASELINE@
# A session that has nothing of the attempt before this one is another one.
lg_known() { [ "$1" ] || return 0; for lg_x; do [ ! -d "$lg_x" ] || return 0; done; return 1; }
case $lg_s in absent | registered) lg_known @EARLIER@ || lg_base=- ;; esac
case $lg_base$lg_s in
  -absent | -registered)
    read -r lg_x <"/proc/$$/stat"
    lg_began ${lg_x##*") "}
    lg_b=$(date +%s.%N)
    case $lg_b in *[!0-9.]*) lg_b=${lg_b%%.*} ;; esac
    lg_base=${lg_y}_${lg_b}_$(lg_mounts 2>/dev/null)_$(lg_home 2>/dev/null)
    lg_look
    case $lg_s in absent | registered) ;; *) lg_base=- ;; esac
    ;;
esac
