# show COMMAND…: run it and print a transcript, as scripts/docs reads it. Sourced by the demos.
export PYTHONUNBUFFERED=1 # so that tables and messages come in order, as on a terminal
show() {
    local status=0
    printf '$ %s\n' "$*"
    "$@" 2>&1 || status=$?
    [[ $status == 0 ]] || echo "[exit status $status]"
    echo
}
