# Empties the session and says whether it is then as it was: $1 has what it was. Whatever fails, and whatever cannot be looked at, says
# that it is not. It may be killed anywhere, and repeated.
IFS=_
set -- $1
unset IFS
@STATE@
lg_say() { echo "$1"; exit; }
find / -maxdepth 0 -newerct "@$2" >/dev/null || lg_say lacking
[ "$3" ] && [ "$(lg_mounts)" = "$3" ] || lg_say mounts
lg_rest() { find "$lg_d" -mindepth 1 -maxdepth 1 ! -name lg-@ID@ ! -name .lg-@ID@ "$@"; }
for lg_d in @EMPTIED@; do
  [ -d "$lg_d" ] || continue
  [ ! -h "$lg_d" ] || lg_say files
  # What cannot be written to is as it was, unless it was changed.
  [ -w "$lg_d" ] || { [ -z "$(find "$lg_d" -xdev -newerct "@$2" -print -quit)" ] || lg_say files; continue; }
  find "$lg_d" -xdev -mindepth 1 -type d ! -perm -700 -exec chmod u+rwx {} ";"
  lg_rest -exec rm -rf {} +
  # at: empty-before-looking
  [ -z "$(lg_rest -print -quit)" ] || lg_say files
  head -c 1048576 /dev/zero >"$lg_d/lg" && rm -f "$lg_d/lg" || lg_say disk
done
# Of the attempt's own only what tells its end again.
for lg_d in @OWN@; do
  [ ! -d "$lg_d" ] || find "$lg_d" -mindepth 1 -maxdepth 1 ! "(" -type f "(" -name "exit.*" -o -name out -o -name err ")" ")" -exec rm -rf {} +
done
for lg_x in shm sem msg; do { read -r lg_y && read -r lg_y && lg_say ipc; } </proc/sysvipc/$lg_x; done
if [ "$4" != - ]; then
  find "$HOME" -xdev -mindepth 1 ! -type d -newerct "@$2" -delete
  find "$HOME" -xdev -mindepth 1 -type d -newerct "@$2" -empty -delete
  [ "$(lg_home)" = "$4" ] || lg_say home
fi
# What no command can write to need not be looked at again.
lg_system() { (IFS=:; find @UNCHANGED@ $PATH -xdev "(" -path "$HOME" @PRUNED@ ")" -prune -o "$@" -print -quit); }
lg_fixed=$5
if [ -z "$5" ]; then
  lg_x=$(lg_system -newerct "@$2")
  [ -z "$lg_x" ] || lg_say system
  lg_x=$(find / -maxdepth 0 -writable >/dev/null || echo -; lg_system ! -type l -writable)
  [ -n "$lg_x" ] || lg_fixed=1
fi
[ "$(printf lifeguard | sha256sum)" = "afe411584c92d6e7d37cc627c1dabe010e60b0c9b88b9887bd721ed91535a981  -" ] || lg_say programs
! command -v base64 >/dev/null || [ "$(printf lifeguard | base64)" = bGlmZWd1YXJk ] || lg_say programs
lg_x="@MARK@"
[ -z "$lg_x" ] || printf "%s\n" "$lg_x" >"@ROOT@/@MARK_FILE@" || lg_say disk
[ "$lg_fixed$5" = 1 ] && echo fixed || echo clean
