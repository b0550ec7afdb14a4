# lg_z: the whole stream $1 of $2 bytes where that is at most $3, else its digest.
lg_stream() {
  lg_z=-
  [ "$2" -gt 0 ] || return
  if [ "$2" -le "$3" ]; then
    lg_z=$(lg_encode <"$1")
  else
    case $lg_q in *sha256sum*) ;; *) lg_z=$(head -c "$2" "$1" | sha256sum); lg_z="#${lg_z%% *}" ;; esac
  fi
}
if [ "$lg_s" != running ]; then
  lg_stream "$lg_a/err" $lg_m $lg_w; lg_v=$lg_z
  lg_stream "$lg_a/out" $lg_n $lg_l; lg_u=$lg_z
fi
