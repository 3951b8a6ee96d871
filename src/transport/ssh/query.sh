# Runs words for at most some seconds and prints a marker with their exit status after their output.
# Arguments: marker seconds program argument …
marker=$1 seconds=$2
shift 2
cd /
timeout -k 5 "$seconds" "$@"
printf '\n%s %s\n' "$marker" "$?"
