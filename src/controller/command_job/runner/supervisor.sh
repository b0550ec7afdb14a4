# The text of a call: looks at the attempt, starts it where that is provably safe, waits for its end, prints one frame.
# It may be killed at any line. Lines of the form "# at: NAME" are where the tests kill it.
lg_f=@FILES@ lg_k=@NONCE@ lg_q= lg_i=1
for lg_x in flock setsid sha256sum base64; do command -v $lg_x >/dev/null || lg_q=$lg_q,$lg_x; done
@COMMON@

# The exit mark: its name carries code (- where nothing was executed), start, end, why it was killed, and the lengths of both
# streams, so that a rename publishes all of them at once.
lg_ended() {
  set -- "$lg_a"/exit.*
  [ -e "$1" ] || return 1
  lg_x=${1##*/exit.}
  lg_c=${lg_x%%.*} lg_x=${lg_x#*.}
  lg_0=${lg_x%%.*} lg_x=${lg_x#*.}
  lg_1=${lg_x%%.*} lg_x=${lg_x#*.}
  lg_r=${lg_x%%.*} lg_x=${lg_x#*.}
  lg_n=${lg_x%%.*} lg_m=${lg_x#*.} lg_s=ended
  # A length with a _ is the least.
  case $lg_n in *_) lg_n=${lg_n%_} lg_out=_ ;; esac
  case $lg_m in *_) lg_m=${lg_m%_} lg_err=_ ;; esac
  [ "$lg_c" != - ] || lg_s=unprepared
}

# What the files say. lg_a: where the attempt is kept.
lg_find() {
  lg_c=- lg_0=- lg_1=- lg_r=- lg_n=0 lg_m=0 lg_s=absent lg_out= lg_err=
  for lg_a in @PLACES@; do
    [ -d "$lg_a" ] || continue
    lg_ended && return
    lg_s=registered
    [ -f "$lg_a/lock" ] && { read -r lg_p lg_y lg_o lg_0 <"$lg_a/lock"; } 2>/dev/null || continue
    if [ "$lg_p" = 0 ]; then
      # A tombstone proves nothing unless the ticket went with it. Whoever sees it may bring that to its end.
      mv "$lg_f.sh" "$lg_f.void" 2>/dev/null
      lg_0=-
      [ -e "$lg_f.void" ] || continue
      lg_s=cancelled lg_r=$lg_y
      [ "$lg_r" != late ] || lg_s=void
      return
    fi
    lg_s=running lg_b=-
    { read -r lg_b </proc/sys/kernel/random/boot_id; } 2>/dev/null
    # A command may stop its runner, and the watcher with it.
    [ "$lg_b" = "$lg_o" ] && lg_alive "$lg_p" "$lg_y" && { kill -s CONT -- "$lg_p" "-$lg_p" 2>/dev/null; return; }
    # It may have ended since the first look at the exit mark.
    lg_ended && return
    lg_s=lost
    lg_read "$lg_a/lock" 2>/dev/null
    return
  done
  lg_0=-
  [ ! -e "$lg_f.sh" ] || return
  [ $lg_s = registered ] && lg_s=removed || lg_s=replaced
}

# Without ticket and lock something may have run, or run still: its files were removed, or the ticket was taken while we looked.
lg_look() {
  lg_find
  case $lg_s in
    removed | replaced)
      if grep -qs LG_RUN=@ID@ /proc/[0-9]*/environ; then lg_now; lg_s=running lg_0=$lg_t; else lg_find; fi
      ;;
  esac
}

# lg_a: the first place that takes the attempt's own files.
lg_make() { for lg_a in @PLACES@; do mkdir -p -m 700 "$lg_a" && [ -w "$lg_a" ] && return; done; } 2>/dev/null

# Sleeps longer each time. Only where flock is missing or useless.
lg_nap() {
  lg_i=$((lg_i * 2)); [ $lg_i -lt 100 ] || lg_i=100
  lg_seconds $lg_i
  sleep "$lg_x" 2>/dev/null || sleep 1
}

lg_now
lg_e=$((lg_t + @WINDOW@ * 100)) lg_g=
lg_look
@BASELINE@
@ACTION@
while [ "$lg_s" = running ] || [ "$lg_s$lg_g" = registered1 ]; do
  lg_now
  lg_x=$((lg_e - lg_t))
  [ $lg_x -gt 0 ] || break
  case $lg_s$lg_q in
    registered* | *flock*) lg_nap ;;
    # flock(1) would create what is not there.
    *) [ ! -f "$lg_a/lock" ] || flock -s -w $(((lg_x + 99) / 100)) "$lg_a/lock" true; lg_look; [ "$lg_s" != running ] || lg_nap ;;
  esac
  lg_look
done

# The secrets are removed by the runner. A runner that was killed before it did so is made up for here; one that has not come
# so far yet must still find them.
if [ -e "$lg_f.env" ]; then
  case $lg_s in
    running) [ -f "$lg_a/lock" ] && grep -qs "^t" "$lg_a/lock" && rm -f "$lg_f.env" ;;
    absent | registered) ;;
    *) rm -f "$lg_f.env" ;;
  esac
fi

# $1 and what follows with stream $2 as descriptor 7, where that is a regular file. Opened for reading and writing, because that
# waits for nothing, whatever the command put there.
lg_open() { [ ! -e "$lg_a/$2" ] || { [ ! -f /proc/self/fd/7 ] || "$@"; } 7<>"$lg_a/$2"; } 2>/dev/null
lg_wc() { wc -c </proc/self/fd/7; }
lg_stream() { lg_z=; [ "$2" = 0 ] || lg_z=$(lg_open lg_one "$@"); lg_z=${lg_z:--}; }
case $lg_s in
  running | lost)
    lg_n=$(lg_open lg_wc out) lg_m=$(lg_open lg_wc err)
    lg_n=$((${lg_n:-0})) lg_m=$((${lg_m:-0}))
    ;;
esac
[ "$lg_s" != running ] || { lg_now; lg_1=$lg_t; }
lg_u=- lg_v=-
case $lg_q in
  *base64*) lg_l=1700 lg_w=1900; lg_encode() { printf "~"; od -An -v -tx1 | tr -d " \n"; } ;;
  *) lg_l=2700 lg_w=3000; lg_encode() { printf =; base64 -w0; } ;;
esac
@STREAMS@
@CLEAN@
# stderr first: whoever kills this call between the two prints leaves no frame, not a frame without its stderr.
case $lg_v in
  [=~]*) printf "LG1 %s %s END %s\n" $lg_k "$lg_v" $lg_k >&2; lg_v== ;;
esac
# at: caller-before-frame
printf %s "LG1 $lg_k $lg_s $lg_c $lg_0 $lg_1 $lg_r $lg_n$lg_out $lg_m$lg_err ${lg_q:--} $lg_v $lg_u@CLEANED@ END $lg_k"
# A write of its own: the service at times loses the last one.
echo
@LINGER@
