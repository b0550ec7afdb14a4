# Shared by the supervisor and the runner. Every variable has the prefix lg_, because assigning to a name that the container's
# environment exports would change what the command sees.

# lg_t: now, in centiseconds since boot.
lg_now() { read -r lg_t lg_x </proc/uptime; lg_t=$((${lg_t%.*} * 100 + 1${lg_t#*.} - 100)); }

# lg_x: $1 centiseconds (at most 100) as sleep and flock want them.
lg_seconds() { lg_x=1; [ "$1" -ge 100 ] || { lg_x=$((100 + $1)); lg_x=0.${lg_x#1}; }; }

# Whether process $1, which started at $2 (clock ticks since boot), still runs. A zombie does not, and a reused pid has another start time.
lg_alive() { { read -r lg_x <"/proc/$1/stat"; } 2>/dev/null || return 1; lg_same "$2" ${lg_x##*") "}; }
lg_same() { case $2 in Z | X) return 1 ;; esac; lg_x=$1; shift 20; [ "$1" = "$lg_x" ]; }

# What the lock $1 says below the identity: the command's process (lg_b) and its start (lg_z), whether all was prepared and
# the command is being executed (lg_d), why it is killed (lg_r), whether the disk was seen to be full (lg_full).
lg_read() {
  lg_b=- lg_z= lg_d= lg_r=- lg_full=
  while read -r lg_x lg_u lg_v; do
    case $lg_x in c) lg_b=$lg_u lg_z=$lg_v ;; t) lg_d=1 ;; k) lg_r=$lg_u ;; f) lg_full=1 ;; esac
  done <"$1"
}
