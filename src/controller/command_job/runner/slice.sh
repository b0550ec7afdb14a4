# lg_z: what stream $1 of $2 bytes has from offset $4 on, at most $3 bytes.
lg_one() { [ "$2" -le "$4" ] || tail -c "+$(($4 + 1))" </proc/self/fd/7 | head -c "$3" | lg_encode; }
lg_stream err $lg_m $lg_w @STDERR_OFFSET@; lg_v=$lg_z
lg_stream out $lg_n $lg_l @STDOUT_OFFSET@; lg_u=$lg_z
