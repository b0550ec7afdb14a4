# The watcher of a running attempt finds the file. Where nothing runs yet, winning the lock with a tombstone, and with it the ticket,
# proves that nothing ever will.
[ -e "$lg_f.cancel" ] || printf "%s\n" "@REASON@ @GRACE@" >"$lg_f.cancel"
case $lg_s in
  absent | registered)
    lg_make
    printf "%s\n" "0 @REASON@" >"$lg_a/h.$lg_k.$$" && ln "$lg_a/h.$lg_k.$$" "$lg_a/lock" 2>/dev/null
    lg_look
    ;;
esac
