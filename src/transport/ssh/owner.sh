# Prints the owner file, where there is one, and a marker after it.
# Arguments: marker root
if [ -e "$2/owner" ]; then head -c 4096 -- "$2/owner"; fi
printf '\n%s %s\n' "$1" "$?"
