# Absent with the ticket, or registered without a lock: nothing ran in this container, and whatever the number of runners, one link succeeds.
case $lg_s in
  absent | registered)
    @CHMOD@
    # at: caller-before-mkdir
    mkdir -p -m 700 "$lg_a"
    # at: caller-after-mkdir
    lg_h=$lg_a/h.$lg_k.$$
    lg_go() { "$@" /bin/sh -c @RUNNER@ lifeguard "$lg_h" @COMMAND@ @WORDS@ </dev/null >/dev/null 2>&1 8<&-; }
    if printf "" >"$lg_h"; then
      # 9 goes to the runner and holds the lock until it is gone, however it ends; 8 is another open file, to wait with.
      exec 9>>"$lg_h" 8<"$lg_h"
      case $lg_q in *flock*) lg_g=1 ;; *) flock -n 9 ;; esac
      case $lg_q in
        *setsid*) lg_q=$lg_q,interrupt; lg_go exec & ;;
        *) lg_go setsid -f || { lg_q=$lg_q,interrupt; lg_go exec setsid & } ;;
      esac
      # at: caller-after-spawn
      exec 9>&-
      [ -n "$lg_g" ] || flock -s -w @WINDOW@ 8
      exec 8<&-
      lg_look
    fi
    ;;
esac
