#!/bin/busybox sh
# First half of the guest's life, in the initramfs: modules, the shared root, an overlay on it.
# Written for busybox: every tool is busybox's own.

bb=/bin/busybox
. /settings

die() {
    echo "pidscope-vm: $*"
    # Let the serial line drain.
    $bb sleep 1
    $bb poweroff -f
}

while read -r module; do
    $bb insmod "/modules/$module.ko" || die "cannot load module $module"
done </modules/order

$bb mkdir /lower /over /new
case $share in
    virtiofs) $bb mount -t virtiofs -o ro shared /lower ;;
    9p) $bb mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose shared /lower ;;
esac || die "cannot mount the shared root ($share)"
$bb mount -t tmpfs -o mode=755 tmpfs /over || die "cannot mount tmpfs"
overlay() { # lower directories, a name, where
    $bb mkdir "/over/$2" "/over/$2.work"
    $bb mount -t overlay -o "lowerdir=$1,upperdir=/over/$2,workdir=/over/$2.work" overlay "$3" ||
        die "cannot mount the overlay on $3 ($1)"
}
overlay "/lower$root" root /new
# On /usr alone: overlayfs refuses a lower directory that is inside another, as the layer is in /.
[ -z "$layer" ] || overlay "/lower$layer/usr:/lower/usr" usr /new/usr
$bb mkdir /plain
$bb mount --bind /new /plain

# The last one: what pidscope keeps for this machine's kernel is neither the guest's nor, perhaps,
# readable for the user who started it.
mounts() {
    while read -r type where options; do
        $bb mkdir -p "/new/$where"
        $bb mount -t "$type" -o "$options" "$type" "/new/$where" || echo "no $type at /$where"
    done <<END
proc proc nosuid,nodev,noexec
sysfs sys nosuid,nodev,noexec
devtmpfs dev mode=755
devpts dev/pts gid=5,mode=620,ptmxmode=666
tmpfs dev/shm mode=1777
tracefs sys/kernel/tracing rw
debugfs sys/kernel/debug rw
bpf sys/fs/bpf mode=700
cgroup2 sys/fs/cgroup rw
tmpfs tmp mode=1777
tmpfs run mode=755
tmpfs var/cache/pidscope/programs mode=700
END
}
mounts

# In a root of its own the checkout is not there yet.
[ -z "$root" ] || echo "$keep" | {
    at=0
    while read -r path; do
        $bb mkdir -p "/new$path"
        overlay "/lower$path" "keep$((at += 1))" "/new$path"
    done
}

# A checkout below /tmp or the like must not vanish behind the fresh tmpfs there.
[ -n "$root" ] || echo "$keep" | while read -r path; do
    case $path in
        /tmp/* | /run/* | /dev/shm/*)
            $bb mkdir -p "/new$path"
            $bb mount --bind "/plain$path" "/new$path"
            ;;
    esac
done

$bb mkdir /new/run/pidscope-vm
$bb cp /bin/busybox /guest /settings /command /new/run/pidscope-vm
exec $bb switch_root /new /run/pidscope-vm/busybox sh /run/pidscope-vm/guest
