# A fresh file $1 below the files API, with what is read. The command may have removed or moved everything there.
lg_put() {
  [ -d "$lg_f" ] && [ ! -h "$lg_f" ] || { rm -rf "$lg_f"; mkdir -p -m 700 "$lg_f"; }
  cat >"$lg_f/$1.$lg_k" || { rm -f "$lg_f/$1.$lg_k"; return 1; }
  rm -rf "$lg_f/$1"
  mv "$lg_f/$1.$lg_k" "$lg_f/$1"
}
# Stream $1 of $2 bytes, opened as 7: all of it where that is at most $3, else its digest, and then it is put below the files API.
lg_one() {
  @CUT@
  [ "$2" -le "@ABOVE@" ] || [ "$2" -gt @WHOLE@ ] || head -c "$2" </proc/self/fd/7 | lg_put "$1" || ln -f "$lg_a/$1" "$lg_f/$1"
  if [ "$2" -le "$3" ]; then
    head -c "$2" </proc/self/fd/7 | lg_encode
  elif [ "$2" -le @DIGESTED@ ]; then
    case $lg_q in *sha256sum*) ;; *) lg_x=$(head -c "$2" </proc/self/fd/7 | sha256sum); printf "#%s" "${lg_x%% *}" ;; esac
  fi
}
if [ "$lg_s" != running ]; then
  lg_stream err $lg_m $lg_w; lg_v=$lg_z
  lg_stream out $lg_n $lg_l; lg_u=$lg_z
fi
