# Waits until its owner is gone, then ends the owner's processes and removes the owner's directory.
#
# Run as `sh -c "$this_text" watchdog DIRECTORY`. Standard input is a pipe whose only writing end the owner holds, so
# the end of the file means that the owner has closed it or no longer exists, however it died: SIGKILL leaves no other
# trace. The owner's processes share this shell's process group; Ctrl-C on a terminal reaches neither them nor us.

trap '' HUP INT QUIT TERM
directory=$1
cd /

while read -r _; do :; done

# Read before the signal: a server that stops in time removes its file.
servers=
segments=
for file in "$directory"/*/postmaster.pid; do
    [ -r "$file" ] || continue
    line=0
    while read -r word rest; do
        line=$((line + 1))
        case $line in
            1) servers="$servers $word" ;;
            7) segments="$segments $rest" ;; # "key id" of the System V segment that guards the data directory
        esac
    done <"$file"
done

# To PostgreSQL SIGQUIT is the immediate shutdown; initdb gives up on it. We ignore it.
kill -s QUIT 0

# A postmaster kills children that ignore the immediate shutdown after 5 s; it gets 8. Its number alone would not tell
# that it is gone: an ended process keeps it until its parent, by now perhaps a lazy init, has collected it.
locks() { for file in "$directory"/*/postmaster.pid; do [ -e "$file" ] && return; done; return 1; }
for server in $servers; do
    waited=0
    while locks && kill -s 0 "$server" 2>/dev/null; do
        if [ "$waited" -eq 160 ]; then
            kill -s KILL "$server"
            break
        fi
        sleep 0.05
        waited=$((waited + 1))
    done
done

# Processes of a server that died by SIGKILL notice it on their own time, and some take a minute. On Linux their working
# directory gives them away.
for process in /proc/[0-9]*; do
    if [ "$process/cwd" -ef "$directory/data" ] || [ "$process/cwd" -ef "$directory" ]; then
        kill -s KILL "${process#/proc/}" 2>/dev/null
    fi
done

# A postmaster that died by SIGKILL has left its segment; after any other end there is none of that number.
for segment in $segments; do
    ipcrm -m "$segment" 2>/dev/null
done

# Whoever still writes below the directory may win a race against one removal, not against many.
removals=0
while rm -rf "$directory" 2>/dev/null; [ -e "$directory" ] && [ "$removals" -lt 100 ]; do
    sleep 0.05
    removals=$((removals + 1))
done
