# The text of a call: looks at the attempt, starts it where that is provably safe, waits for its end, prints one frame.
# It may be killed at any line. Lines of the form "# at: NAME" are where the tests kill it.
lg_a=@DIR@ lg_k=@NONCE@ lg_q= lg_i=1
for lg_x in flock setsid sha256sum base64; do command -v $lg_x >/dev/null || lg_q=$lg_q,$lg_x; done
@COMMON@

# The exit mark: its name carries code, start, end and why it was killed, so that a rename publishes all of them at once.
lg_ended() {
  set -- "$lg_a"/exit.*
  [ -e "$1" ] || return 1
  lg_x=${1##*/exit.}
  lg_c=${lg_x%%.*} lg_x=${lg_x#*.}
  lg_0=${lg_x%%.*} lg_x=${lg_x#*.}
  lg_1=${lg_x%%.*} lg_r=${lg_x#*.} lg_s=ended
  [ -e "$lg_a/c.t" ] || lg_s=unprepared
}

lg_look() {
  lg_c=- lg_0=- lg_1=- lg_r=-
  if [ ! -d "$lg_a" ]; then
    lg_s=absent
    [ -e "$lg_a.sh" ] || lg_s=replaced
    return
  fi
  lg_ended && return
  lg_s=registered
  { read -r lg_p lg_y lg_o lg_0 <"$lg_a/lock"; } 2>/dev/null || { lg_0=-; return; }
  if [ "$lg_p" = 0 ]; then
    lg_s=cancelled lg_r=$lg_y lg_0=-
    [ "$lg_r" != late ] || lg_s=void
    return
  fi
  lg_s=running lg_b=-
  { read -r lg_b </proc/sys/kernel/random/boot_id; } 2>/dev/null
  [ "$lg_b" = "$lg_o" ] && lg_alive "$lg_p" "$lg_y" && return
  # It may have ended since the first look at the exit mark.
  lg_ended && return
  lg_s=lost
  { read -r lg_r <"$lg_a/cancel"; } 2>/dev/null || lg_r=-
}

# Sleeps longer each time. Only where flock is missing or useless.
lg_nap() {
  lg_i=$((lg_i * 2)); [ $lg_i -lt 100 ] || lg_i=100
  lg_seconds $lg_i
  sleep "$lg_x" 2>/dev/null || sleep 1
}

lg_now
lg_e=$((lg_t + @WINDOW@ * 100)) lg_g=
lg_look
@ACTION@
while [ "$lg_s" = running ] || [ "$lg_s$lg_g" = registered1 ]; do
  lg_now
  lg_x=$((lg_e - lg_t))
  [ $lg_x -gt 0 ] || break
  # The lock file exists while it says running: flock(1) would create it otherwise.
  case $lg_s$lg_q in
    registered* | *flock*) lg_nap ;;
    *) flock -s -w $(((lg_x + 99) / 100)) "$lg_a/lock" true; lg_look; [ "$lg_s" != running ] || lg_nap ;;
  esac
  lg_look
done
[ "$lg_s" != running ] || { lg_now; lg_1=$lg_t; }

# The secrets are removed by the runner. A runner that was killed before it did so is made up for here; one that has not come
# so far yet must still find them.
if [ -e "$lg_a.env" ]; then
  case $lg_s in
    running) [ ! -e "$lg_a/c.t" ] || rm -f "$lg_a.env" ;;
    ended | unprepared | lost | void | cancelled) rm -f "$lg_a.env" ;;
  esac
fi

lg_n=0 lg_m=0 lg_u=- lg_v=-
if [ -e "$lg_a/err" ] && { [ -s "$lg_a/out" ] || [ -s "$lg_a/err" ]; }; then
  set -- $(wc -c "$lg_a/out" "$lg_a/err")
  lg_n=$1 lg_m=$3
fi
case $lg_q in
  *base64*) lg_l=1700 lg_w=1900; lg_encode() { printf "~"; od -An -v -tx1 | tr -d " \n"; } ;;
  *) lg_l=2700 lg_w=3000; lg_encode() { printf =; base64 -w0; } ;;
esac
@STREAMS@
# stderr first: whoever kills this call between the two prints leaves no frame, not a frame without its stderr.
case $lg_v in
  [=~]*) printf "LG1 %s %s END %s\n" $lg_k "$lg_v" $lg_k >&2; lg_v== ;;
esac
# at: caller-before-frame
printf %s "LG1 $lg_k $lg_s $lg_c $lg_0 $lg_1 $lg_r $lg_n $lg_m ${lg_q:--} $lg_v $lg_u END $lg_k"
# A write of its own: the service at times loses the last one.
echo
@LINGER@
