# The ends of a long stream, as files to download.
if [ "$2" -gt $((@HEAD@ + @TAIL@)) ]; then
  head -c @HEAD@ </proc/self/fd/7 | lg_put "$1.head"
  tail -c "+$(($2 - @TAIL@ + 1))" </proc/self/fd/7 | head -c @TAIL@ | lg_put "$1.tail"
fi
