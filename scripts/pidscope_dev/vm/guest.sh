# Second half of the guest's life, as process 1 on the shared root: run CMD and hand back what it
# wrote and its status. Started with busybox's shell, whose tools stand in for the machine's.
#
# CMD writes into two fifos (a port may be opened only once, so `echo >/dev/stderr` would fail on it)
# and dd carries that to the ports. Each stream ends with the token, so the other side knows that it
# has everything; it then ends the machine from outside.

here=/run/pidscope-vm
bb=$here/busybox
. $here/settings

# Another process 1 (scripts/vm --engines): the rest of this script runs as a child of it.
if [ -n "$init" ] && [ $$ = 1 ]; then
    $bb sh $here/guest &
    . "$init"
fi

if [ "$1" = sweep ]; then
    # What CMD left behind would keep the fifos open. Process 1 and the two dd stay.
    shift
    while :; do
        for process in /proc/[0-9]*; do
            number=${process#/proc/}
            case " $* $$ " in
                *" $number "*) ;;
                *) kill -9 "$number" 2>/dev/null ;;
            esac
        done
        $bb sleep 0.1
    done
fi

$bb hostname pidscope-vm
$bb ip link set lo up
$bb ln -sf /proc/self/fd /dev/fd
$bb ln -sf /proc/self/fd/0 /dev/stdin
$bb ln -sf /proc/self/fd/1 /dev/stdout
$bb ln -sf /proc/self/fd/2 /dev/stderr
$bb ln -sf pts/ptmx /dev/ptmx
echo +pids >/sys/fs/cgroup/cgroup.subtree_control
release=$($bb uname -r)
$bb mkdir -p /lib/modules
[ -e "/lib/modules/$release" ] || $bb ln -s "$modules_directory" "/lib/modules/$release"

port() {
    # Ports come up some time after their driver, and their device numbers are not fixed.
    while :; do
        for entry in /sys/class/virtio-ports/*; do
            name=
            [ -e "$entry/name" ] && read -r name <"$entry/name"
            if [ "$name" = "$1" ] && [ -c "/dev/${entry##*/}" ]; then
                device=/dev/${entry##*/}
                return
            fi
        done
        $bb sleep 0.05
    done
}

port out && exec 4>"$device"
port err && exec 5>"$device"
port status && exec 6>"$device"
echo up >&6

$bb mkfifo $here/out $here/err
$bb dd bs=65536 <$here/out >&4 2>/dev/null 5>&- 6>&- &
out=$!
$bb dd bs=65536 <$here/err >&5 2>/dev/null 4>&- 6>&- &
err=$!
$bb env -i $bb setsid /bin/sh $here/command </dev/null >$here/out 2>$here/err 4>&- 5>&- 6>&-
status=$?

$bb sh $here/guest sweep 1 "$out" "$err" 4>&- 5>&- 6>&- &
wait "$out" "$err"
printf %s "$token" >&4
printf %s "$token" >&5
echo "status $status" >&6
$bb sleep 30
$bb poweroff -f
