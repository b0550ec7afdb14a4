# The ends of a long stream, as files to download.
lg_cut() {
  [ "$2" -gt $((@HEAD@ + @TAIL@)) ] || return
  head -c @HEAD@ "$1" >"$1.head"
  tail -c "+$(($2 - @TAIL@ + 1))" "$1" | head -c @TAIL@ >"$1.tail"
}
if [ "$lg_s" != running ]; then
  lg_cut "$lg_a/out" $lg_n
  lg_cut "$lg_a/err" $lg_m
fi
