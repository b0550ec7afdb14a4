# PID 1 of a session: lives until the emulator kills it, and reaps what is orphaned.
cd /mnt/data
echo ready
exec >/dev/null 2>&1
while :; do
    sleep 2147483 &
    sleeper=$!
    while kill -0 "$sleeper" 2>/dev/null; do wait "$sleeper"; done
done
