# The ticket lies there, and there is neither lock nor exit mark: nothing ran in this container, and whatever the number of runners,
# one takes the ticket.
case $lg_s in
  absent | registered)
    @CHMOD@
    @EARLIER@
    # at: caller-before-mkdir
    lg_make
    # at: caller-after-mkdir
    lg_h=$lg_a/h.$lg_k.$$
    lg_go() { "$@" /bin/sh -c @RUNNER@ lifeguard "$lg_h" @COMMAND@ @WORDS@ </dev/null >/dev/null 2>&1 8<&-; }
    if printf "" >"$lg_h"; then
      # 9 goes to the runner and holds the lock until it is gone, however it ends; 8 is another open file, to wait with.
      exec 9>>"$lg_h" 8<"$lg_h"
      case $lg_q in *flock*) lg_g=1 ;; *) flock -n 9 ;; esac
      # Only the runner's environment has it, so that it is found whatever became of its files.
      export LG_RUN=@ID@
      case $lg_q in
        *setsid*) lg_q=$lg_q,interrupt; lg_go exec & ;;
        *) lg_go setsid -f || { lg_q=$lg_q,interrupt; lg_go exec setsid & } ;;
      esac
      # at: caller-after-spawn
      unset LG_RUN
      exec 9>&-
      [ -n "$lg_g" ] || flock -s -w @WINDOW@ 8
      exec 8<&-
      lg_look
    fi
    ;;
esac
