# Makes systemd process 1 of a guest whose /usr has the container engines (scripts/vm --engines).
# Read by guest.sh. No package has been configured, so what their scripts would have done is here.

/usr/bin/cp -an "$layer/etc/." /etc/
for user in messagebus:997 systemd-network:996 systemd-resolve:995; do
    name=${user%:*}
    number=${user#*:}
    $bb grep -q "^$name:" /etc/group || echo "$name:x:$number:" >>/etc/group
    $bb grep -q "^$name:" /etc/passwd ||
        echo "$name:x:$number:$number::/nonexistent:/usr/sbin/nologin" >>/etc/passwd
done
$bb grep -q '^docker:' /etc/group || echo docker:x:994: >>/etc/group

# Nothing of the machine's own is to start, and to read its hundreds of units through the shared root
# takes minutes: systemd has these alone, in memory.
units=/usr/lib/systemd/system
$bb mkdir -p /run/pidscope-units/empty
for unit in basic sysinit sockets timers paths slices local-fs local-fs-pre swap shutdown umount \
    final poweroff reboot halt emergency rescue machines network network-online; do
    /usr/bin/cp -a $units/$unit.target /run/pidscope-units/
done
for unit in dbus.service dbus.socket user.slice machine.slice systemd-journald.service \
    systemd-journald.socket systemd-journald-dev-log.socket systemd-machined.service \
    dbus-org.freedesktop.machine1.service docker.service docker.socket containerd.service \
    podman.service podman.socket; do
    /usr/bin/cp -a $units/$unit /run/pidscope-units/
done
cat >/run/pidscope-units/default.target <<END
[Unit]
Requires=basic.target dbus.service systemd-journald.service
After=basic.target dbus.service systemd-journald.service
AllowIsolate=yes
END
$bb mount --bind /run/pidscope-units $units
$bb mount --bind /run/pidscope-units/empty /usr/lib/systemd/system-generators
$bb rm -rf /etc/systemd/system
$bb mkdir -p /etc/systemd/system
# Without one it is a first boot, and systemd enables all that there is.
echo 00000000000000000000000000000015 >/etc/machine-id
$bb rm -f /etc/fstab

# The form of the cgroups is systemd's to choose, by the kernel's arguments. Where the machine is a
# container itself, its mark would make systemd believe that it is in one, and read none of them.
$bb rm -f /.dockerenv /run/.containerenv
$bb umount /sys/fs/cgroup
# An overlay cannot hold the engines' own overlays.
for place in docker containers containerd lxc machines; do
    $bb mkdir -p /var/lib/$place
    $bb mount -t tmpfs -o mode=755 tmpfs /var/lib/$place
done
$bb rm -f /var/run
$bb ln -s /run /var/run
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec /usr/lib/systemd/systemd --log-level=warning --log-target=console
