# lg_z: what stream $1 of $2 bytes has from offset $4 on, at most $3 bytes.
lg_stream() { lg_z=-; [ "$2" -le "$4" ] || lg_z=$(tail -c "+$(($4 + 1))" "$1" | head -c "$3" | lg_encode); }
lg_stream "$lg_a/err" $lg_m $lg_w @STDERR_OFFSET@; lg_v=$lg_z
lg_stream "$lg_a/out" $lg_n $lg_l @STDOUT_OFFSET@; lg_u=$lg_z
