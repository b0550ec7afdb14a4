# The command's process, until it becomes the command: its own session, descriptors 0 1 2, 9 (the lock), and 4, the environment, deleted
# already. After the environment is read only built-in commands are used, because PATH may have changed, and no variable of ours.
lg_started() { shift 19; printf "c %s %s\n" $$ "$1"; }
read -r lg_x <"/proc/$$/stat" || exit 2
lg_started ${lg_x##*") "} >&9 || exit 2
# at: command-before-environment
@SOURCE_ENV@
export LG_ID=@ID@
# It says that preparation is over: from here on the exit code is the command's.
printf "t\n" >&9 || exit 2
exec 9>&-
# at: command-before-exec
@EXEC@
