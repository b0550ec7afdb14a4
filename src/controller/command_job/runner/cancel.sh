# The watcher of a running attempt finds the file. Where nothing runs yet, winning the lock with a tombstone proves that nothing ever will.
[ -e "$lg_a.cancel" ] || printf "%s\n" "@REASON@ @GRACE@" >"$lg_a.cancel"
case $lg_s in
  absent | registered)
    mkdir -p -m 700 "$lg_a"
    printf "%s\n" "0 @REASON@" >"$lg_a/h.$lg_k.$$" && ln "$lg_a/h.$lg_k.$$" "$lg_a/lock" 2>/dev/null
    lg_look
    ;;
esac
