# While the command runs: the last bytes of stream $1 of $2 bytes, in the frame where that takes $3, else below the files API.
lg_tail() {
  lg_x=$(($2 - @BYTES@)); [ $lg_x -gt 0 ] || lg_x=0
  lg_y=$(($2 - lg_x))
  if [ $lg_y -le "$3" ]; then
    tail -c "+$((lg_x + 1))" </proc/self/fd/7 | head -c $lg_y | lg_encode
  else
    tail -c "+$((lg_x + 1))" </proc/self/fd/7 | head -c $lg_y | lg_put "$1.tail"
  fi
}
if [ "$lg_s" = running ]; then
  lg_one() { lg_tail "$@"; }
  lg_stream err $lg_m $lg_w; lg_v=$lg_z
  lg_stream out $lg_n $lg_l; lg_u=$lg_z
fi
